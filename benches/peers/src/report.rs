//! Medians, spread and tables.

use std::fmt;

use crate::{load::Figure, scenario::Unit};

/// A spread from which on a figure is marked as noisy.
const NOISY: f64 = 0.15;

/// The rounds of one scenario, rival by rival.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    scenario: &'static str,
    rivals: Vec<(String, Vec<Figure>)>,
}

/// Medians of a rival's rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    rate: f64,
    /// As in [`Figure`].
    pub(crate) cost: f64,
    /// The lowest cost: what noise hides least.
    best: f64,
    /// How far the costs lie apart, as a part of their median.
    pub(crate) spread: f64,
    busy: f64,
    /// As in [`Figure`].
    pub(crate) resident: f64,
}

impl Row {
    /// No rounds yet.
    pub(crate) fn new(scenario: &'static str, rivals: impl Iterator<Item = String>) -> Self {
        Self {
            scenario,
            rivals: rivals.map(|name| (name, Vec::new())).collect(),
        }
    }

    /// A round's figure of the rival at `index`.
    pub(crate) fn add(&mut self, index: usize, figure: Figure) {
        self.rivals[index].1.push(figure);
    }

    /// What it is called.
    pub(crate) fn scenario(&self) -> &'static str {
        self.scenario
    }

    /// Medians of a rival's rounds, if it has any.
    pub(crate) fn summary(&self, rival: &str) -> Option<Summary> {
        let (_, figures) = self.rivals.iter().find(|(name, _)| name == rival)?;
        if figures.is_empty() {
            return None;
        }
        let costs = figures.iter().map(|figure| figure.cost);
        let cost = median(costs.clone());
        let high = costs.clone().fold(f64::MIN, f64::max);
        let low = costs.fold(f64::MAX, f64::min);
        Some(Summary {
            rate: median(figures.iter().map(|figure| figure.rate)),
            cost,
            best: low,
            spread: (high - low) / cost,
            busy: median(figures.iter().map(|figure| figure.busy)),
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            resident: median(figures.iter().map(|figure| figure.resident as f64)),
        })
    }
}

/// A line per rival, printed as soon as the scenario is through.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.scenario)?;
        let ours = self.rivals.first().and_then(|(name, _)| self.summary(name));
        for (name, _) in &self.rivals {
            let Some(one) = self.summary(name) else {
                continue;
            };
            writeln!(
                f,
                "  {name:17} {:>11.0}/s  cost {:>10.1}  best {:>10.1}  x{:<6.2} spread {:>3.0} %  busy {:>3.0} %",
                one.rate,
                one.cost,
                one.best,
                ours.map_or(f64::NAN, |ours| one.cost / ours.cost),
                one.spread * 100.0,
                one.busy * 100.0
            )?;
        }
        Ok(())
    }
}

/// All scenarios of one unit: cost and, where it means something, rate, as Markdown.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    unit: Unit,
    rows: Vec<Row>,
}

impl Table {
    /// Empty.
    pub(crate) fn new(unit: Unit) -> Self {
        Self {
            unit,
            rows: Vec::new(),
        }
    }

    /// What its figures count.
    pub(crate) fn unit(&self) -> Unit {
        self.unit
    }

    /// Whether no scenario was measured.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A scenario's rounds.
    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    fn print(
        &self,
        f: &mut fmt::Formatter<'_>,
        title: &str,
        cell: impl Fn(Summary) -> String,
    ) -> fmt::Result {
        let Some(first) = self.rows.first() else {
            return Ok(());
        };
        let names: Vec<_> = first.rivals.iter().map(|(name, _)| name.as_str()).collect();
        writeln!(f, "\n| {title} | {} |", names.join(" | "))?;
        writeln!(f, "|---|{}", "---:|".repeat(names.len()))?;
        for row in &self.rows {
            let cells: Vec<_> = names
                .iter()
                .map(|name| row.summary(name).map_or_else(|| "-".to_owned(), &cell))
                .collect();
            writeln!(f, "| {} | {} |", row.scenario, cells.join(" | "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noise = |one: Summary| if one.spread > NOISY { " ~" } else { "" };
        let micros = |one: Summary| format!("{:.3}{}", one.cost / 1e3, noise(one));
        let bytes = |one: Summary| format!("{:.0}{}", one.cost, noise(one));
        match self.unit {
            Unit::Messages => self.print(f, "µs of the server's CPU per message", micros)?,
            Unit::Deliveries => self.print(f, "µs of the server's CPU per delivery", micros)?,
            Unit::Handshakes => self.print(f, "µs of the server's CPU per handshake", micros)?,
            Unit::Connections => {
                return self.print(f, "bytes of resident memory per connection", bytes);
            }
        }
        self.print(f, "thousands per second", |one| {
            format!(
                "{:.1}{}",
                one.rate / 1e3,
                if one.busy < 0.9 { " *" } else { "" }
            )
        })
    }
}

/// The middle value; the upper one of two.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

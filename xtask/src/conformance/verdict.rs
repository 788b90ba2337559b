//! Compares a run of the suite with the committed expectation.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::run::Report;

/// The verdicts on case and closing that may be expected. NON-STRICT is not among them:
/// being strict is a promise.
const ACCEPTED: &[&str] = &["OK", "INFORMATIONAL"];

/// What else may be tolerated, where timing decides.
const TOLERATED: &[&str] = &["OK", "INFORMATIONAL", "NON-STRICT"];

/// The committed verdict on one case.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Expectation {
    behavior: String,
    behavior_close: String,
    /// Verdicts that are as good, see [`tolerate`].
    #[serde(skip)]
    besides: Option<(String, String)>,
}

/// The verdict a fuzzer found.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CaseResult {
    behavior: String,
    behavior_close: String,
    milliseconds: u64,
    /// The seconds the case had, if they were not enough: something stalled.
    overdue: Option<u64>,
    /// In words, where the verdict is not OK.
    #[serde(default)]
    result: String,
    #[serde(default)]
    result_close: String,
}

pub(super) type Expected = BTreeMap<String, Expectation>;

/// Per group: cases asked for, cases as expected, and the time they took.
#[derive(Debug, Default)]
struct Group {
    selected: usize,
    as_expected: usize,
    milliseconds: u64,
}

/// What a run shows next to the expectation. Displays as a table and a list.
#[derive(Debug)]
pub(super) struct Comparison {
    groups: BTreeMap<u32, Group>,
    /// How often each pair of verdicts on case and closing was found.
    verdicts: BTreeMap<(String, String), usize>,
    differences: Vec<String>,
    seconds: f64,
}

/// Reads the committed expectation and refuses one that expects too little.
pub(super) fn read_expected(file: &Path) -> anyhow::Result<Expected> {
    read(file, ACCEPTED)
}

/// Adds what else may come out of some cases, as another committed file has it.
pub(super) fn tolerate(expected: &mut Expected, file: &Path) -> anyhow::Result<()> {
    for (case, tolerated) in read(file, TOLERATED)? {
        let Some(wanted) = expected.get_mut(&case) else {
            bail!("{}: nothing is expected of case {case}", file.display());
        };
        wanted.besides = Some((tolerated.behavior, tolerated.behavior_close));
    }
    Ok(())
}

fn read(file: &Path, accepted: &[&str]) -> anyhow::Result<Expected> {
    let json = fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
    let expected: Expected =
        serde_json::from_str(&json).with_context(|| format!("{}", file.display()))?;
    for (case, wanted) in &expected {
        for verdict in [&wanted.behavior, &wanted.behavior_close] {
            if !accepted.contains(&verdict.as_str()) {
                bail!(
                    "{}: case {case} expects {verdict}, expected one of {accepted:?}",
                    file.display()
                );
            }
        }
    }
    Ok(expected)
}

impl Comparison {
    /// `cases` are the groups or cases that were asked for: what is expected of them but
    /// unknown to the suite is a difference too.
    pub(super) fn new(expected: &Expected, report: &Report, cases: &str) -> Self {
        let mut comparison = Self {
            groups: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            differences: Vec::new(),
            seconds: report.seconds,
        };
        for case in &report.selected {
            let result = report
                .results
                .get(case)
                .and_then(|result| CaseResult::deserialize(result).ok());
            let difference = difference(expected.get(case), result.as_ref());
            let group = comparison.groups.entry(group(case)).or_default();
            group.selected += 1;
            if let Some(result) = result {
                group.milliseconds += result.milliseconds;
                let verdicts = (result.behavior, result.behavior_close);
                *comparison.verdicts.entry(verdicts).or_default() += 1;
            }
            match difference {
                None => group.as_expected += 1,
                Some(text) => comparison.differences.push(format!("{case}: {text}")),
            }
        }
        for case in expected.keys().filter(|case| is_among(case, cases)) {
            if !report.selected.contains(case) {
                let text = format!("{case}: expected, but the suite has no such case");
                comparison.differences.push(text);
            }
        }
        if report.selected.is_empty() {
            comparison
                .differences
                .push("no case was selected".to_owned());
        }
        if let Some(reason) = &report.stopped {
            let text = format!("the run ended early: {reason}");
            comparison.differences.push(text);
        }
        comparison
    }

    pub(super) fn is_clean(&self) -> bool {
        self.differences.is_empty()
    }

    /// Verdicts, differences and time, in a line.
    pub(super) fn summary(&self) -> String {
        let verdicts = self.verdicts.iter();
        let mut parts: Vec<String> = verdicts
            .map(|((behavior, close), count)| {
                if behavior == close {
                    format!("{count} {behavior}")
                } else {
                    format!("{count} {behavior} (closing {close})")
                }
            })
            .collect();
        parts.push(format!("{} differences", self.differences.len()));
        parts.push(format!("{:.1} s", self.seconds));
        parts.join(", ")
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "group  cases  as expected  seconds (cases run side by side)"
        )?;
        let mut total = Group::default();
        for (number, group) in &self.groups {
            writeln!(f, "{number:>4}.*  {group}")?;
            total.selected += group.selected;
            total.as_expected += group.as_expected;
            total.milliseconds += group.milliseconds;
        }
        writeln!(f, " total  {total}")?;
        for difference in &self.differences {
            writeln!(f, "DIFFERENCE {difference}")?;
        }
        writeln!(f, "{}", self.summary())
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::from_millis(self.milliseconds).as_secs_f64();
        let Self {
            selected,
            as_expected,
            ..
        } = self;
        write!(f, "{selected:>4}  {as_expected:>11}  {seconds:>7.1}")
    }
}

/// Returns what is different, in words, or nothing.
fn difference(wanted: Option<&Expectation>, result: Option<&CaseResult>) -> Option<String> {
    let Some(result) = result else {
        return Some("did not run".to_owned());
    };
    let found = format!("{}, closing {}", result.behavior, result.behavior_close);
    let Some(wanted) = wanted else {
        return Some(format!("{found}, but nothing is expected yet"));
    };
    if let Some(seconds) = result.overdue {
        return Some(format!("{found}, but only when {seconds} s were over"));
    }
    let verdicts = (&result.behavior, &result.behavior_close);
    let is_besides = |(behavior, close): &(String, String)| verdicts == (behavior, close);
    if verdicts == (&wanted.behavior, &wanted.behavior_close)
        || wanted.besides.as_ref().is_some_and(is_besides)
    {
        return None;
    }
    Some(format!(
        "{found}, expected {}, closing {} ({} {})",
        wanted.behavior, wanted.behavior_close, result.result, result.result_close
    ))
}

fn group(case: &str) -> u32 {
    let number = case.split('.').next().unwrap_or_default();
    number.parse().unwrap_or_default()
}

/// Returns whether the case is in the comma list of groups (`7`, `7.1`) and cases (`7.1.6`).
fn is_among(case: &str, list: &str) -> bool {
    list.split(',').any(|prefix| {
        case.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;

    fn expected(cases: &[(&str, &str, &str)]) -> Expected {
        cases
            .iter()
            .map(|&(case, behavior, close)| {
                let expectation = Expectation {
                    behavior: behavior.to_owned(),
                    behavior_close: close.to_owned(),
                    besides: None,
                };
                (case.to_owned(), expectation)
            })
            .collect()
    }

    fn report(selected: &[&str], results: &[(&str, &str, &str)]) -> Report {
        let results = results.iter().map(|&(case, behavior, close)| {
            let result = json!({
                "case": case,
                "behavior": behavior,
                "behaviorClose": close,
                "milliseconds": 1,
            });
            (case.to_owned(), result)
        });
        Report {
            selected: selected.iter().map(|&case| case.to_owned()).collect(),
            results: results.collect(),
            ..Report::default()
        }
    }

    fn differences(expected: &Expected, report: &Report, cases: &str) -> Vec<String> {
        Comparison::new(expected, report, cases).differences
    }

    #[test]
    fn equal_verdicts_are_clean() {
        let expected = expected(&[("1.1.1", "OK", "OK"), ("7.1.6", "INFORMATIONAL", "OK")]);
        let report = report(
            &["1.1.1", "7.1.6"],
            &[("1.1.1", "OK", "OK"), ("7.1.6", "INFORMATIONAL", "OK")],
        );
        assert!(Comparison::new(&expected, &report, "1,7").is_clean());
    }

    #[test]
    fn every_other_verdict_is_a_difference() {
        let expected = expected(&[("6.4.1", "OK", "OK")]);
        for (behavior, close) in [
            ("NON-STRICT", "OK"),
            ("FAILED", "OK"),
            ("OK", "UNCLEAN"),
            ("INFORMATIONAL", "OK"),
        ] {
            let report = report(&["6.4.1"], &[("6.4.1", behavior, close)]);
            let found = differences(&expected, &report, "6.4.1");
            assert_eq!(found.len(), 1, "{behavior} {close}: {found:?}");
        }
    }

    #[test]
    fn cases_that_did_not_run_are_differences() {
        let expected = expected(&[("1.1.1", "OK", "OK"), ("1.1.2", "OK", "OK")]);
        let found = differences(&expected, &report(&["1.1.1"], &[]), "1");
        assert_eq!(
            found,
            [
                "1.1.1: did not run",
                "1.1.2: expected, but the suite has no such case"
            ]
        );
    }

    #[test]
    fn unknown_cases_and_empty_runs_are_differences() {
        let none = Expected::new();
        let report_of_one = report(&["12.1.1"], &[("12.1.1", "OK", "OK")]);
        assert_eq!(differences(&none, &report_of_one, "12").len(), 1);
        assert_eq!(differences(&none, &Report::default(), "8").len(), 1);
    }

    #[test]
    fn an_early_end_is_a_difference() {
        let mut report = report(&["1.1.1"], &[("1.1.1", "OK", "OK")]);
        report.stopped = Some("limit reached".to_owned());
        let found = differences(&expected(&[("1.1.1", "OK", "OK")]), &report, "1");
        assert_eq!(found, ["the run ended early: limit reached"]);
    }

    #[test]
    fn a_group_is_no_prefix_of_another() {
        assert!(is_among("1.1.1", "1,2"));
        assert!(!is_among("10.1.1", "1,2"));
        assert!(is_among("7.1.6", "7.1.6"));
    }

    #[test]
    fn a_case_that_stalled_is_a_difference() {
        let mut report = report(&["9.3.1"], &[("9.3.1", "OK", "OK")]);
        let result = report.results.get_mut("9.3.1").expect("it ran");
        *result = json!({
            "behavior": "OK", "behaviorClose": "OK", "milliseconds": 100_000, "overdue": 100,
        });
        let found = differences(&expected(&[("9.3.1", "OK", "OK")]), &report, "9");
        assert_eq!(
            found,
            ["9.3.1: OK, closing OK, but only when 100 s were over"]
        );
    }

    #[test]
    fn the_summary_counts_verdicts() {
        let expected = expected(&[("1.1.1", "OK", "OK")]);
        let report = report(
            &["1.1.1", "1.1.2", "1.1.3"],
            &[
                ("1.1.1", "OK", "OK"),
                ("1.1.2", "OK", "OK"),
                ("1.1.3", "OK", "UNCLEAN"),
            ],
        );
        assert_eq!(
            Comparison::new(&expected, &report, "1").summary(),
            "2 OK, 1 OK (closing UNCLEAN), 2 differences, 0.0 s"
        );
    }

    #[test]
    fn a_tolerated_verdict_is_as_good_as_the_expected_one_and_no_other_is() {
        let mut expected = expected(&[("3.2", "OK", "OK")]);
        expected.get_mut("3.2").expect("it is there").besides =
            Some(("NON-STRICT".to_owned(), "OK".to_owned()));
        for (behavior, close, count) in [
            ("OK", "OK", 0),
            ("NON-STRICT", "OK", 0),
            ("NON-STRICT", "UNCLEAN", 1),
            ("FAILED", "OK", 1),
        ] {
            let report = report(&["3.2"], &[("3.2", behavior, close)]);
            let found = differences(&expected, &report, "3");
            assert_eq!(found.len(), count, "{behavior} {close}: {found:?}");
        }
    }

    fn committed(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../conformance")
            .join(format!("expected-{name}.json"))
    }

    #[test]
    fn only_what_overtakes_an_echo_is_tolerated_through_a_gateway_that_reads_messages() {
        let mut expected = read_expected(&committed("server")).expect("it is valid");
        tolerate(&mut expected, &committed("messages")).expect("it is valid");
        let mut tolerated = expected
            .iter()
            .filter(|(_, wanted)| wanted.besides.is_some());
        assert!(tolerated.all(|(_, wanted)| {
            wanted.besides == Some(("NON-STRICT".to_owned(), "OK".to_owned()))
                && wanted.behavior == "OK"
        }));
    }

    #[test]
    fn the_committed_expectations_are_whole_and_strict() {
        for role in ["server", "client"] {
            let expected = read_expected(&committed(role)).expect("it is valid");
            let informational: Vec<&String> = expected
                .iter()
                .filter(|(_, wanted)| wanted.behavior != "OK")
                .map(|(case, _)| case)
                .collect();
            assert_eq!(expected.len(), 517, "{role}");
            assert_eq!(informational, ["7.1.6", "7.13.1", "7.13.2"], "{role}");
        }
    }
}

//! Steps and progress on the terminal, lines typed there.

use std::io::{self, IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressStyle};
use tidewire_bench::pairs::Progress;

use crate::output;

/// Prints the steps of a run. With a terminal the measurement shows how far it is, on the standard error.
#[derive(Debug)]
pub(super) struct Console {
    has_terminal: bool,
    bar: Option<ProgressBar>,
}

impl Console {
    pub(super) fn new() -> Self {
        Self {
            has_terminal: io::stderr().is_terminal(),
            bar: None,
        }
    }
}

impl Progress for Console {
    fn begin(&mut self, step: &str) {
        print(&format!("{step}..."));
    }

    fn done(&mut self, step: &str) {
        match self.bar.take() {
            // The bar has taken the line.
            Some(bar) => {
                bar.finish_and_clear();
                print(&format!("{step}...Done!\n"));
            }
            None => print("Done!\n"),
        }
    }

    fn say(&mut self, line: &str) {
        print(&format!("{line}\n"));
    }

    fn advanced(&mut self, part: f64, messages: u64) {
        if !self.has_terminal {
            return;
        }
        let bar = self.bar.get_or_insert_with(bar);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of a bar that has a thousand"
        )]
        bar.set_position((part.clamp(0.0, 1.0) * f64::from(STEPS)) as u64);
        bar.set_message(format!("{messages} messages"));
    }
}

/// The report, which comes last, tells when nothing can be written.
fn print(text: &str) {
    output::print(text).ok();
}

/// Tells which scenario of a table is measured, on the standard error: the table alone is the result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps;

impl Progress for Steps {
    fn begin(&mut self, _: &str) {}
    fn done(&mut self, _: &str) {}

    fn say(&mut self, line: &str) {
        // Whoever has closed the standard error does not want to know.
        writeln!(io::stderr(), "{line}").ok();
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("Benchmarking {wide_bar} {percent:>3} % {msg}")
        .expect("the template is well-formed");
    ProgressBar::new(STEPS.into()).with_style(style)
}

const STEPS: u32 = 1000;

/// What a line means to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// Start again.
    Restart,
    /// Nothing.
    Other,
    /// Stop: an empty line, or the end of the input.
    End,
}

/// Waits for the next line of the standard input.
pub(super) fn typed() -> Typed {
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        // What cannot be read will say nothing more either.
        Ok(0) | Err(_) => Typed::End,
        Ok(_) => meaning(line.trim_end_matches(['\r', '\n'])),
    }
}

fn meaning(line: &str) -> Typed {
    match line {
        "" => Typed::End,
        "!" => Typed::Restart,
        _ => Typed::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_line_stops_and_an_exclamation_mark_restarts() {
        assert_eq!(meaning(""), Typed::End);
        assert_eq!(meaning("!"), Typed::Restart);
        assert_eq!(meaning(" "), Typed::Other);
    }
}

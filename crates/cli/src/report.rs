//! Errors → one readable block on the standard error, and the exit code.

use std::{
    fmt,
    io::{self, Write as _},
    process::ExitCode,
};

/// Something the caller has to change: a wrong argument or configuration. Put around an error
/// as its context, it makes the exit code 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongUsage(pub(crate) &'static str);

impl fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// Shows the help that was asked for, or what is wrong with the arguments, on one line.
pub(crate) fn usage(answer: &clap::Error) -> ExitCode {
    let (printed, code) = if answer.exit_code() == 0 {
        (answer.print(), 0)
    } else {
        let line = misuse(&answer.render().to_string());
        (writeln!(io::stderr(), "{line}"), WRONG_USAGE)
    };
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Ok(()) | Err(_) => ExitCode::from(code),
    }
}

/// Of what clap would print the first paragraph says what is wrong, and one that begins with `tip` what may be right.
fn misuse(text: &str) -> String {
    let joined = |paragraph: &str| paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut paragraphs = text.split("\n\n").map(joined);
    let mut line = paragraphs.next().unwrap_or_default();
    if !line.starts_with("error: ") {
        // Without a command where one is needed clap shows the help alone.
        "error: expected a command".clone_into(&mut line);
    }
    for tip in paragraphs.filter(|paragraph| paragraph.starts_with("tip: ")) {
        line.push_str("; ");
        line.push_str(tip.trim_start_matches("tip: "));
    }
    line.push_str("; --help tells more");
    line
}

/// Says something on the standard error; who has closed it does not want to know.
pub(crate) fn tell(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// Shows an error with all its causes.
pub(crate) fn failure(error: &anyhow::Error) -> ExitCode {
    // Who has closed the standard error does not want to know.
    drop(write!(io::stderr(), "{}", block(error)));
    if error.is::<WrongUsage>() {
        ExitCode::from(WRONG_USAGE)
    } else {
        ExitCode::FAILURE
    }
}

/// The causes on one line, outermost first: `cannot reach a:1: connection refused`.
pub(crate) fn line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The causes below each other, outermost first.
fn block(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        for line in cause.to_string().lines() {
            text.push_str("  ");
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

const WRONG_USAGE: u8 = 2;

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn every_cause_has_its_line() {
        let error = anyhow!("two problems\n  a\n  b")
            .context(WrongUsage("invalid configuration"))
            .context("cannot start");
        assert_eq!(
            block(&error),
            "error: cannot start\n  invalid configuration\n  two problems\n    a\n    b\n"
        );
        assert!(error.is::<WrongUsage>());
    }

    #[test]
    fn misuse_fits_on_a_line() {
        let text = "error: unexpected argument '--listn' found\n\n  tip: a similar argument exists: '--listen'\n\n\
                    Usage: tidewire serve --listen <ADDR>\n\nFor more information, try '--help'.\n";
        assert_eq!(
            misuse(text),
            "error: unexpected argument '--listn' found; a similar argument exists: '--listen'; --help tells more"
        );
    }

    #[test]
    fn a_missing_command_is_an_error_too() {
        let text =
            "Copy the message store\n\nUsage: tidewire store <COMMAND>\n\nCommands:\n  backup\n";
        assert_eq!(misuse(text), "error: expected a command; --help tells more");
    }

    #[test]
    fn causes_fit_on_a_line() {
        let result: Result<(), io::Error> = Err(io::Error::other("inner"));
        let error = result.context("outer").expect_err("an error");
        assert_eq!(line(error.as_ref()), "outer: inner");
    }
}

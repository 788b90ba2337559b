//! [`Misuse`]: a task was asked for something that does not exist. Whoever typed it gets one line and exit code 2; a
//! check that failed gets 1.

use std::fmt;

use clap::error::ErrorKind;

/// What was wrong, and what was expected instead.
#[derive(Debug)]
pub(crate) struct Misuse(pub(crate) String);

impl fmt::Display for Misuse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

impl From<&clap::Error> for Misuse {
    /// The first paragraph of what clap would print says what is wrong; the rest is help.
    fn from(error: &clap::Error) -> Self {
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return Self("no task given; `--help` names them".to_owned());
        }
        let text = error.render().to_string();
        let paragraph = text.split("\n\n").next().unwrap_or_default();
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        let line = words.join(" ");
        Self(line.trim_start_matches("error: ").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::Cli;

    #[test]
    fn what_clap_refuses_is_one_line_that_names_it() {
        for (arguments, expected) in [
            (
                &["xtask", "ci", "--lunch"][..],
                "unexpected argument '--lunch' found",
            ),
            (&["xtask"], "no task given"),
            (&["xtask", "lunch"], "unrecognized subcommand 'lunch'"),
            (
                &["xtask", "ci", "--from"],
                "a value is required for '--from <STEP>' but none was supplied",
            ),
        ] {
            let error = Cli::try_parse_from(arguments).expect_err("refused");
            let line = Misuse::from(&error).to_string();
            assert!(line.starts_with(expected), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }
}

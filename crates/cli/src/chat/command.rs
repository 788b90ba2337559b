//! What can be typed while disconnected.

/// A line typed while disconnected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Show the usage.
    Help,
    /// Connect; `None` to where the program was told to.
    Connect(Option<String>),
    /// Leave the program.
    Exit,
    /// Nothing was typed.
    Nothing,
    /// None of these.
    Unknown,
}

impl Command {
    pub(super) fn read(line: &str) -> Self {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (None, ..) => Self::Nothing,
            (Some("help"), None, _) => Self::Help,
            (Some("connect"), url, None) => Self::Connect(url.map(str::to_owned)),
            (Some("exit"), None, _) => Self::Exit,
            (Some(_), ..) => Self::Unknown,
        }
    }
}

/// Ends a connection; everything else typed while connected is a message.
pub(super) const DISCONNECT: &str = "__disconnect";

/// The text of `help`.
pub(super) fn usage(default_url: &str) -> String {
    format!(
        "Usage:\n  \
         connect [URL]  connect to URL, or to {default_url}\n  \
         {DISCONNECT}   end the connection; any other line is sent\n  \
         exit           leave the program\n  \
         help           show this text"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_command_or_unknown() {
        let url = || Some("ws://a".to_owned());
        for (line, command) in [
            ("", Command::Nothing),
            ("  \t", Command::Nothing),
            ("help", Command::Help),
            (" exit ", Command::Exit),
            ("connect", Command::Connect(None)),
            ("connect  ws://a", Command::Connect(url())),
            ("connect ws://a b", Command::Unknown),
            ("exit now", Command::Unknown),
            ("Exit", Command::Unknown),
            ("__disconnect", Command::Unknown),
            ("hello", Command::Unknown),
        ] {
            assert_eq!(Command::read(line), command, "{line:?}");
        }
    }

    #[test]
    fn the_usage_names_the_commands_in_order() {
        let usage = usage("ws://a");
        let names: Vec<&str> = usage
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(names, ["connect", "__disconnect", "exit", "help"]);
    }
}

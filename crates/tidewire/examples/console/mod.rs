//! Shared by the ported console examples: positional arguments with defaults, and lines of the input on a thread of
//! its own.
//!
//! Their manner is that of the originals: what is typed is sent, `!` alone restarts (a server) or reconnects
//! (a client), an empty line or the end of the input stops. Every example uses all of this, so that nothing is dead
//! code in any.
#![expect(
    clippy::print_stderr,
    clippy::exit,
    clippy::disallowed_methods,
    reason = "they are programs, and talk to a person at a console"
)]

use std::{
    env,
    fmt::Display,
    io::{self, BufRead as _, Write as _},
    process,
    str::FromStr,
    thread,
};

use tokio::sync::mpsc;

/// The positional argument with this number, from 1, or its default; ends the program with exit code 2 when it
/// cannot be read.
pub(crate) fn argument<T>(number: usize, name: &str, default: T) -> T
where
    T: FromStr,
    T::Err: Display,
{
    let Some(text) = env::args().nth(number) else {
        return default;
    };
    text.parse().unwrap_or_else(|error| {
        eprintln!("{name}: {error}: {text}");
        process::exit(2)
    })
}

/// Prints a line, even where the output is a pipe. Nobody may read it any more: that ends no server.
pub(crate) fn say(line: impl Display) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}

/// Prints without a line's end: "Server starting..." before "Done!".
pub(crate) fn begin(text: impl Display) {
    let mut out = io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).ok();
}

/// The wish of somebody who types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A line, without its end.
    Line(String),
    /// `!` alone.
    Exclamation,
    /// An empty line, or the end of the input.
    Stop,
}

/// The lines of the input, read by a thread of its own.
#[derive(Debug)]
pub(crate) struct Console {
    lines: mpsc::Receiver<String>,
}

impl Console {
    pub(crate) fn new() -> Self {
        let (sender, lines) = mpsc::channel(64);
        thread::spawn(move || {
            for line in io::stdin().lock().lines() {
                let Ok(line) = line else { break };
                if sender.blocking_send(line).is_err() {
                    break;
                }
            }
        });
        Self { lines }
    }

    /// The next input. Cancel safe.
    pub(crate) async fn next(&mut self) -> Input {
        let line = self.lines.recv().await;
        match line.as_deref().map(|line| line.trim_end_matches('\r')) {
            None | Some("") => Input::Stop,
            Some("!") => Input::Exclamation,
            Some(line) => Input::Line(line.to_owned()),
        }
    }
}

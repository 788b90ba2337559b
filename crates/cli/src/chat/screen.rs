//! [`Screen`]: everything the chat shows, in order, from a thread of its own.

use std::{
    borrow::Cow,
    io::{self, Write as _},
    sync::mpsc::SyncSender,
    thread::{self, JoinHandle},
};

use rustyline::ExternalPrinter;
use tokio::sync::mpsc;

use super::prompt::Prompt;

/// Where the lines go.
pub(super) enum Out {
    /// Above the prompt of the line editor.
    Terminal(Box<dyn ExternalPrinter + Send>),
    /// To the standard output.
    Plain,
}

/// The way to the screen.
#[derive(Debug)]
pub(super) struct Screen(mpsc::Sender<Show>);

/// Nobody can see anything any more: the standard output is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

#[derive(Debug)]
enum Show {
    Line(String),
    Prompt(Prompt),
}

impl Screen {
    /// Starts the thread. It ends when the screen is dropped and all is shown, or when nothing
    /// can be shown, which is only an error when it is no closed pipe.
    pub(super) fn start(
        mut out: Out,
        prompts: SyncSender<Prompt>,
    ) -> io::Result<(Self, JoinHandle<io::Result<()>>)> {
        let (sender, mut queue) = mpsc::channel(QUEUE_LEN_MAX);
        let work = move || {
            while let Some(show) = queue.blocking_recv() {
                match show {
                    Show::Line(line) => match out.write(line) {
                        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                        written => written?,
                    },
                    // Fails when the input has ended, which the session learns from the input.
                    Show::Prompt(prompt) => drop(prompts.send(prompt)),
                }
            }
            Ok(())
        };
        let thread = thread::Builder::new().name("screen".to_owned());
        Ok((Self(sender), thread.spawn(work)?))
    }

    /// Shows a line, or several. The caller has escaped what strangers wrote.
    ///
    /// # Cancel safety
    /// When dropped, the line may not be shown.
    pub(super) async fn line(&self, line: impl Into<String>) -> Result<(), Gone> {
        let show = Show::Line(line.into());
        self.0.send(show).await.map_err(|_closed| Gone)
    }

    /// Asks for the next line of input.
    ///
    /// # Cancel safety
    /// As for [`line`](Self::line).
    pub(super) async fn prompt(&self, prompt: Prompt) -> Result<(), Gone> {
        let show = Show::Prompt(prompt);
        self.0.send(show).await.map_err(|_closed| Gone)
    }
}

impl Out {
    fn write(&mut self, mut line: String) -> io::Result<()> {
        line.push('\n');
        match self {
            Self::Terminal(printer) => printer.print(line).map_err(io::Error::other),
            Self::Plain => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(line.as_bytes())?;
                stdout.flush()
            }
        }
    }
}

/// Makes a stranger's text harmless: what would move the cursor, start a new line or change the
/// direction of writing is shown as an escape.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_harmful(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// Control characters, line separators and the marks of bidirectional text.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Lines on their way to the screen; when it is slow, the peer has to wait.
const QUEUE_LEN_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_cannot_steer_the_terminal() {
        for (text, shown) in [
            ("plain, ünï¢ode 🙂 \\ \"", "plain, ünï¢ode 🙂 \\ \""),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\r\nmsg> b\t", "a\\r\\nmsg> b\\t"),
            ("\u{7}\u{7f}\u{9b}31m", "\\u{7}\\u{7f}\\u{9b}31m"),
            (
                "\u{202e}txt\u{2069}\u{2028}",
                "\\u{202e}txt\\u{2069}\\u{2028}",
            ),
        ] {
            assert_eq!(escape(text), shown);
        }
    }
}

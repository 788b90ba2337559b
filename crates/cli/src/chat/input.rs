//! Lines typed by a person, or read from a script: a thread that blocks.

use std::{
    env,
    fs::DirBuilder,
    io::{self, BufRead as _, IsTerminal as _, Read as _},
    path::PathBuf,
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

use rustyline::{Config, DefaultEditor, error::ReadlineError};
use tokio::sync::mpsc::Sender;

use super::{prompt::Prompt, screen::Out};

/// The answer to a [`Prompt`].
#[derive(Debug)]
pub(super) enum Input {
    /// A line without its end, and the prompt it was typed at.
    Line(Prompt, String),
    /// There will be no more lines.
    End,
    /// Lines cannot be read.
    Failed(io::Error),
}

/// Starts the thread; tells where to write, and whether the lines come from a script.
pub(super) fn start(asked: Receiver<Prompt>, typed: Sender<Input>) -> io::Result<(Out, bool)> {
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    // The editor is made by the thread that uses it, which then tells how to print beside it.
    let (ready, out) = sync_channel(1);
    let work = move || {
        let editor = is_terminal.then(editor).flatten();
        let Some((mut editor, history, out)) = editor else {
            drop(ready.send(Out::Plain));
            return answer(&asked, &typed, read_plain);
        };
        drop(ready.send(out));
        answer(&asked, &typed, |prompt| {
            let input = edit(&mut editor, prompt);
            if let Input::Line(prompt, line) = &input
                && may_be_kept(*prompt, line)
            {
                // A line without a place in the history is not kept, that is all.
                drop(editor.add_history_entry(line));
            }
            if let Some(history) = &history {
                // A chat without history goes on.
                drop(editor.append_history(history));
            }
            input
        });
    };
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(work)?;
    let out = out.recv().map_err(io::Error::other)?;
    Ok((out, !is_terminal))
}

fn answer(asked: &Receiver<Prompt>, typed: &Sender<Input>, read: impl FnMut(Prompt) -> Input) {
    for input in asked.iter().map(read) {
        if typed.blocking_send(input).is_err() {
            return;
        }
    }
}

/// A line editor, the file of its history, and the way to print above its prompt; `None` on
/// terminals it cannot handle.
fn editor() -> Option<(DefaultEditor, Option<PathBuf>, Out)> {
    let config = Config::builder()
        .max_history_size(HISTORY_LEN_MAX)
        .ok()?
        .build();
    let mut editor = DefaultEditor::with_config(config).ok()?;
    let printer = editor.create_external_printer().ok()?;
    let history = history_file();
    if let Some(file) = &history {
        // There is none at the first time.
        drop(editor.load_history(file));
    }
    Some((editor, history, Out::Terminal(Box::new(printer))))
}

fn edit(editor: &mut DefaultEditor, prompt: Prompt) -> Input {
    match editor.readline(prompt.text()) {
        Ok(line) => Input::Line(prompt, line),
        Err(ReadlineError::Eof | ReadlineError::Interrupted) => Input::End,
        Err(ReadlineError::Io(error)) => Input::Failed(error),
        Err(error) => Input::Failed(io::Error::other(error)),
    }
}

fn read_plain(prompt: Prompt) -> Input {
    let mut line = String::new();
    let mut stdin = io::stdin().lock().take(LINE_BYTES_MAX + 1);
    match stdin.read_line(&mut line) {
        Ok(0) => Input::End,
        Ok(count) if count as u64 > LINE_BYTES_MAX => Input::Failed(io::Error::other(format!(
            "a line is longer than {LINE_BYTES_MAX} bytes"
        ))),
        Ok(_) => {
            let end = line.trim_end_matches(['\r', '\n']).len();
            line.truncate(end);
            Input::Line(prompt, line)
        }
        Err(error) => Input::Failed(error),
    }
}

/// Returns whether a line may stay in the history: not a command with an address that may have a password in it.
fn may_be_kept(prompt: Prompt, line: &str) -> bool {
    let address = line.split_once("://").map_or("", |(_scheme, rest)| rest);
    prompt == Prompt::Online || !address.contains('@')
}

/// Where the desktop's rules (XDG) want a program's state; `None` for users without a home.
fn history_file() -> Option<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    let directory = state.join("tidewire");
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    // What people write is nobody else's business.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&directory).ok()?;
    Some(directory.join("chat-history"))
}

/// More than any server takes by default.
const LINE_BYTES_MAX: u64 = 64 << 20;
const HISTORY_LEN_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_has_no_passwords_of_addresses() {
        for (line, kept) in [
            ("connect wss://user:pa:ss@host/chat?id=1", false),
            ("connect  WS://user:pass@host", false),
            ("connect wss://user:p/a@ss@host", false),
            ("conect wss://user:pass@host", false),
            ("connect wss://host/?id=1", true),
            ("connect", true),
            ("help me@home", true),
            ("", true),
        ] {
            assert_eq!(may_be_kept(Prompt::Offline, line), kept, "{line}");
        }
        assert!(may_be_kept(Prompt::Online, "see wss://user:pass@host/"));
    }
}

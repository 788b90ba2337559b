//! A newcomer's session: the blocks of README one after the other, as they stand there, with the program of this tree.
//!
//! In: README. Out: nothing, or the block that failed. A block of TOML that begins with a comment that names a file is
//! written into that file. A block for the shell runs in the same folder; if it ends with a server, that is left
//! running for the blocks behind it, until another one takes its place. Blocks that build something are left to other steps.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::process;
use crate::workspace::Workspace;

/// A block builds something, which takes long and has a step of its own, when it begins so.
const BUILDS: [&str; 2] = ["cargo ", "npm "];

/// The programs that run until they are stopped.
const SERVERS: [&str; 3] = ["tidewire\n", "tidewire serve ", "tidewire gateway "];

/// Something has to be tried: a README without any of this is another one.
const BLOCKS_MIN: usize = 9;

/// A block as it stands in the text.
#[derive(Debug, PartialEq, Eq)]
struct Block<'a> {
    language: &'a str,
    text: &'a str,
}

/// A server that a block has started; stopped when dropped.
struct Running {
    child: Child,
    /// `tidewire gateway` does not take the place of `tidewire serve`.
    is_gateway: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which the blocks that need it have told.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(super) fn run(workspace: &Workspace, readme: &str) -> anyhow::Result<()> {
    process::run(process::cargo().args(["build", "--quiet", "--package", "tidewire-cli"]))?;
    let programs = workspace.target_directory.join("debug");
    let path = std::env::var("PATH").context("PATH")?;
    let path = format!("{}:{path}", programs.display());
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let mut running: Vec<Running> = Vec::new();
    let mut count = 0;
    for block in blocks(readme) {
        let text = block.text;
        match block.language {
            "toml" => {
                if let Some(name) = file_name(text) {
                    let file = folder.path().join(name);
                    fs::write(&file, text).with_context(|| file.display().to_string())?;
                    count += 1;
                }
            }
            "sh" if BUILDS.iter().any(|program| text.starts_with(program)) => {}
            "sh" => {
                let script = script(text);
                let mut shell = Command::new("sh");
                shell
                    .args(["-c", &script])
                    .env("PATH", &path)
                    .current_dir(folder.path())
                    .stdin(Stdio::null());
                if let Some(is_gateway) = server(text) {
                    running.retain(|other| other.is_gateway != is_gateway);
                    let child = start(&mut shell, text)?;
                    running.push(Running { child, is_gateway });
                } else {
                    process::run(&mut shell)?;
                }
                count += 1;
            }
            _ => {}
        }
    }
    ensure!(
        count >= BLOCKS_MIN,
        "README has {count} blocks to try, expected {BLOCKS_MIN}"
    );
    println!("README: {count} blocks do what they say");
    leaves_data(folder.path())
}

/// The server has said where it keeps its data.
fn leaves_data(folder: &Path) -> anyhow::Result<()> {
    let store = folder.join("tidewire-data/mailbox.db");
    ensure!(
        store.is_file(),
        "README's server has left no {}",
        store.display()
    );
    Ok(())
}

/// Starts a server and waits until it prints where it listens.
fn start(shell: &mut Command, text: &str) -> anyhow::Result<Child> {
    println!("$ {}", text.replace('\n', "\n  "));
    let mut child = shell.stdout(Stdio::piped()).spawn().context("sh")?;
    let stdout = child.stdout.take().context("a pipe")?;
    for line in BufReader::new(stdout).lines() {
        if line.context("a line")?.contains("://") {
            return Ok(child);
        }
    }
    let status = child.wait().context("a child")?;
    bail!("README's server has ended with {status}: {text}")
}

/// All blocks in order.
fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    // Every other part is within fences.
    text.split("```").skip(1).step_by(2).filter_map(|block| {
        let (language, text) = block.split_once('\n')?;
        Some(Block { language, text })
    })
}

/// The file that a block's first line names.
fn file_name(text: &str) -> Option<&str> {
    let name = text.lines().next()?.strip_prefix("# ")?;
    let is_name = Path::new(name).extension().is_some() && !name.contains(['/', ' ']);
    is_name.then_some(name)
}

/// Whether a block ends with a server, and if so, with a gateway.
fn server(text: &str) -> Option<bool> {
    let last = text.trim_end().lines().last()?.to_owned() + "\n";
    let starts = SERVERS.iter().any(|server| last.starts_with(server));
    starts.then(|| last.starts_with("tidewire gateway "))
}

/// A shell that stops at the first failure and becomes the last program.
fn script(text: &str) -> String {
    let text = text.trim_end();
    let (before, last) = text.rsplit_once('\n').unwrap_or(("", text));
    if server(text).is_some() {
        format!("set -e\n{before}\nexec {last}")
    } else {
        format!("set -e\n{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_in_order_with_their_language() {
        let text = "a\n```sh\nls\n```\nb\n```toml\n# x.toml\na = 1\n```\n";
        let found: Vec<_> = blocks(text)
            .map(|block| (block.language, block.text))
            .collect();
        assert_eq!(found, [("sh", "ls\n"), ("toml", "# x.toml\na = 1\n")]);
    }

    #[test]
    fn a_first_comment_names_a_file() {
        assert_eq!(file_name("# x.toml\na = 1\n"), Some("x.toml"));
        assert_eq!(file_name("# every key of it.\n"), None);
        assert_eq!(file_name("[dependencies]\n"), None);
    }

    #[test]
    fn a_block_that_ends_with_a_server_becomes_it() {
        assert_eq!(server("tidewire\n"), Some(false));
        assert_eq!(server("a\ntidewire serve --config t.toml\n"), Some(false));
        assert_eq!(
            server("tidewire gateway --config g.toml # or\n"),
            Some(true)
        );
        assert_eq!(server("tidewire chat x\n"), None);
        assert_eq!(script("a\ntidewire\n"), "set -e\na\nexec tidewire");
        assert_eq!(script("a\nb\n"), "set -e\na\nb");
    }
}

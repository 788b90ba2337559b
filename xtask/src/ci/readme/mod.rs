//! The blocks of README work as they stand there: the session with server and gateway, the program with the library, its
//! `[dependencies]` included, and the lines that install the JavaScript client.
//!
//! All happens outside of the workspace, in temporary folders. Only the version of the library, which
//! is not published yet, is replaced by this one, the way cargo has for it (`[patch]`); other crates come in
//! the versions of our lock file.

mod session; // server and gateway, in order

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::outcome::Outcome;
use crate::process;
use crate::workspace::Workspace;

/// The heading above the program.
const LIBRARY: &str = "## Use the library";

/// How the block with the lines for the JavaScript client begins.
const CLIENT: &str = "npm install ./clients/js";

/// What the program prints behind its address.
const PRINTED: &str = r#"answers Some(Text("hello"))"#;

pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Outcome> {
    let path = workspace.root.join("README.md");
    let readme = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (_, library) = readme
        .split_once(LIBRARY)
        .with_context(|| format!("README.md has no heading `{LIBRARY}`"))?;
    let dependencies = block(library, "toml", "[dependencies]").context("no dependencies")?;
    let program = block(library, "rust", "").context("no program")?;
    for shown in [dependencies, program] {
        let own = workspace.root.join("crates/tidewire/README.md");
        let text = fs::read_to_string(&own).with_context(|| own.display().to_string())?;
        ensure!(
            text.contains(shown),
            "crates/tidewire/README.md shows another program than README.md"
        );
    }
    library_program(workspace, dependencies, program)?;
    let lines = block(&readme, "sh", CLIENT).context("no lines for the JavaScript client")?;
    javascript_client(workspace, lines)?;
    session::run(workspace, &readme)?;
    Ok(Outcome::Passed)
}

/// The text of the first block in this language that begins so.
fn block<'a>(text: &'a str, language: &str, beginning: &str) -> Option<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .filter(|rest| rest.starts_with(beginning))
        .find_map(|rest| rest.split_once("\n```"))
        .map(|(block, _)| block)
}

fn library_program(workspace: &Workspace, dependencies: &str, program: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let (tidewire, proto) = (
        workspace.root.join("crates/tidewire"),
        workspace.root.join("crates/proto"),
    );
    let manifest = format!(
        "[package]\nname = \"newcomer\"\nedition = \"2024\"\n\n{dependencies}\n\n\
         [patch.crates-io]\ntidewire = {{ path = '{}' }}\ntidewire-proto = {{ path = '{}' }}\n",
        tidewire.display(),
        proto.display(),
    );
    write(&folder.path().join("Cargo.toml"), &manifest)?;
    fs::create_dir(folder.path().join("src"))?;
    write(&folder.path().join("src/main.rs"), program)?;
    fs::copy(
        workspace.root.join("Cargo.lock"),
        folder.path().join("Cargo.lock"),
    )?;
    let mut cargo = process::cargo();
    let printed = process::read(
        cargo
            .args(["run", "--quiet"])
            .env(
                "CARGO_TARGET_DIR",
                workspace.target_directory.join("readme"),
            )
            .current_dir(folder.path()),
    )?;
    println!("README's program printed: {}", printed.trim());
    ensure!(
        printed.trim().ends_with(PRINTED),
        "expected something that ends with {PRINTED}"
    );
    Ok(())
}

/// Runs the lines where a fresh clone would: with the tracked files and nothing that was built.
fn javascript_client(workspace: &Workspace, lines: &str) -> anyhow::Result<()> {
    let tracked = process::read(
        Command::new("git")
            .args(["ls-files", "--", "clients/js"])
            .current_dir(&workspace.root),
    )?;
    let folder = tempfile::tempdir().context("a temporary folder")?;
    for file in tracked.lines() {
        let to = folder.path().join(file);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(workspace.root.join(file), &to).with_context(|| file.to_owned())?;
    }
    for line in lines.lines() {
        process::run(
            Command::new("sh")
                .args(["-c", line])
                .current_dir(folder.path()),
        )?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_by_language_and_beginning() {
        let text = "```sh\nls\n```\n\n```sh\nnpm a\nnpm b\n```\n```js\nnpm\n```\n";
        assert_eq!(block(text, "sh", "npm"), Some("npm a\nnpm b"));
        assert_eq!(block(text, "sh", ""), Some("ls"));
        assert_eq!(block(text, "rust", ""), None);
        assert_eq!(block("```sh\nnever closed", "sh", ""), None);
    }
}

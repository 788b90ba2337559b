//! The page about the REST API: its examples are run against the program, and what the program says of its API stands
//! below them.
//!
//! A block of JSON behind a block for the shell is what the request answers: its members and the kinds of their values are
//! compared, not the values.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::reference;
use crate::process;

/// Where the reference belongs; everything below it is replaced.
const MARKER: &str = "<!-- The site has the reference here. -->";

/// The addresses in the examples: the program's defaults.
const REST: &str = "http://127.0.0.1:8092";

/// The page is no page without some.
const EXAMPLES_MIN: usize = 6;

/// A server of our own; stopped when dropped.
struct Server {
    child: Child,
    rest: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which the requests have told.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(super) fn complete(program: &Path, page: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let (written, _) = text
        .split_once(MARKER)
        .with_context(|| format!("{} has no line `{MARKER}`", page.display()))?;
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let server = start(program, folder.path())?;
    let count = examples(&server, written)?;
    ensure!(
        count >= EXAMPLES_MIN,
        "rest.md has {count} examples, expected {EXAMPLES_MIN}"
    );
    let json = get(&server, "/openapi.json")?;
    let description: Value = serde_json::from_str(&json).context("/openapi.json")?;
    let reference = reference::write(&description)?;
    fs::write(page, format!("{written}{reference}")).with_context(|| page.display().to_string())?;
    println!("rest.md: {count} examples do what they say");
    Ok(())
}

fn start(program: &Path, folder: &Path) -> anyhow::Result<Server> {
    let configuration = folder.join("tidewire.toml");
    fs::write(
        &configuration,
        "[server]\nlisten = \"127.0.0.1:0\"\n[rest]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"warn\"\n",
    )?;
    let mut child = Command::new(program)
        .args(["serve", "--config"])
        .arg(&configuration)
        .arg("--data-dir")
        .arg(folder.join("data"))
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| program.display().to_string())?;
    let stdout = child.stdout.take().context("a pipe")?;
    let mut server = Server {
        child,
        rest: String::new(),
    };
    for line in BufReader::new(stdout).lines() {
        let line = line.context("a line")?;
        if let Some(rest) = line.strip_prefix("rest ") {
            rest.trim()
                .trim_end_matches('/')
                .clone_into(&mut server.rest);
            return Ok(server);
        }
    }
    bail!("the server has ended without saying where its REST API is")
}

fn get(server: &Server, path: &str) -> anyhow::Result<String> {
    let address = format!("{}{path}", server.rest);
    process::read(Command::new("curl").args([
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "10",
        &address,
    ]))
}

/// Runs the blocks for the shell in order, and compares with the JSON behind each.
fn examples(server: &Server, text: &str) -> anyhow::Result<usize> {
    let mut count = 0;
    let mut answer: Option<(String, String)> = None;
    for block in text.split("```").skip(1).step_by(2) {
        let (language, block) = block.split_once('\n').unwrap_or_default();
        match language {
            "sh" => {
                let script = format!("set -e\n{}", block.replace(REST, &server.rest));
                // What a newcomer sees of a refusal is its body; here a refusal ends the step.
                let script =
                    script.replace("curl ", "curl --silent --fail-with-body --max-time 10 ");
                let printed = process::read(Command::new("sh").args(["-c", &script]))?;
                count += 1;
                answer = Some((block.to_owned(), printed));
            }
            "json" => {
                let Some((request, printed)) = answer.take() else {
                    continue;
                };
                let expected: Value = serde_json::from_str(block).context("JSON in rest.md")?;
                let printed: Value = serde_json::from_str(&printed)
                    .with_context(|| format!("`{request}` answered {printed}"))?;
                ensure!(
                    is_alike(&expected, &printed),
                    "`{request}` answered {printed}, expected the members of {expected}"
                );
            }
            _ => {}
        }
    }
    Ok(count)
}

/// The same members with values of the same kind.
fn is_alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, value)| other.get(key).is_some_and(|it| is_alike(value, it)))
        }
        (Value::Array(one), Value::Array(other)) => match (one.first(), other.first()) {
            (Some(one), Some(other)) => is_alike(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        },
        (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Null, Value::Null) => true,
        (
            Value::Object(_)
            | Value::Array(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Bool(_)
            | Value::Null,
            _,
        ) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_compared_by_members_and_kinds() {
        let shown = json!({"data": {"id": "a", "times": [1]}, "ok": true});
        assert!(is_alike(
            &shown,
            &json!({"data": {"id": "b", "times": [2, 3]}, "ok": false})
        ));
        for other in [
            json!({"data": {"id": "b", "times": []}, "ok": true}),
            json!({"data": {"id": 1, "times": [1]}, "ok": true}),
            json!({"data": {"id": "a", "times": [1]}}),
            json!({"data": {"id": "a", "times": [1]}, "ok": true, "more": 1}),
        ] {
            assert!(!is_alike(&shown, &other), "{other}");
        }
    }
}

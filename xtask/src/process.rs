//! Runs other programs and says which one failed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::workspace::Workspace;

/// The cargo that runs this task, else the one in `PATH`.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Shows the command, runs it to its end, and fails if it does.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let line = describe(command);
    println!("$ {line}");
    let status = command
        .status()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed with {status}");
    }
    Ok(())
}

/// Runs the command and returns what it printed.
pub(crate) fn read(command: &mut Command) -> anyhow::Result<String> {
    let line = describe(command);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!(
            "`{line}` failed with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed invalid UTF-8"))
}

/// The triple of the machine that compiles, such as `x86_64-unknown-linux-gnu`.
pub(crate) fn host() -> anyhow::Result<String> {
    rustc_says("host: ")
}

/// The version of the compiler in use, such as `1.95.0`.
pub(crate) fn compiler_version() -> anyhow::Result<String> {
    rustc_says("release: ")
}

fn rustc_says(label: &str) -> anyhow::Result<String> {
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let text = read(Command::new(program).arg("-vV"))?;
    text.lines()
        .find_map(|line| line.strip_prefix(label))
        .map(str::to_owned)
        .with_context(|| format!("`rustc -vV` printed no line `{label}`"))
}

/// Returns whether the program can be started and succeeds; its output is dropped.
pub(crate) fn succeeds(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Installs a program that a Python package brings, by `name==version`, in an environment of its own below the target
/// folder; its folder of programs.
pub(crate) fn python_tool(workspace: &Workspace, requirement: &str) -> anyhow::Result<PathBuf> {
    let name = requirement.split("==").next().unwrap_or(requirement);
    let folder = workspace.target_directory.join("tools/python").join(name);
    let programs = folder.join("bin");
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    // What is there in this version is left as it is.
    run(Command::new(programs.join("python"))
        .args(["-m", "pip", "--disable-pip-version-check", "--quiet"])
        .args(["install", "--only-binary", ":all:", requirement]))?;
    Ok(programs)
}

fn describe(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

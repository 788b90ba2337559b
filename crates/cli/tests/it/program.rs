//! The binary, run to its end: arguments and input → output and exit code.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_tidewire");

/// What a program left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The environment of the tests is not the environment of the programs they start.
pub(crate) fn command(program: &str, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", directory)
        .current_dir(directory);
    command
}

pub(crate) fn tidewire(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = command(BINARY, directory);
    command.args(arguments);
    command
}

/// Runs a command that ends by itself.
pub(crate) fn end(mut command: Command, input: &str) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    // From a thread, because both ends of a pipe may wait for each other. A program that ends
    // without reading everything is none of the writer's business.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).ok());
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("no panic");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// Sends a signal by name to one process.
pub(crate) fn signal(name: &str, pid: u32) {
    let status = Command::new("sh")
        .args(["-c", "kill -\"$0\" \"$1\"", name, &pid.to_string()])
        .status()
        .expect("sh starts");
    assert!(status.success(), "kill -{name} {pid}");
}

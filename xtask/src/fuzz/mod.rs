//! `cargo xtask fuzz`: looks for inputs that break a promise (among them a5: no input ends or fills a parser).
//!
//! The targets are plain functions (`fuzz/targets`); here libFuzzer runs them, guided by
//! coverage. That needs only flags which a stable compiler takes, so neither nightly nor
//! cargo-fuzz. What is committed under `fuzz/corpus` is read; what is found stays below
//! `target/fuzz` until `--minimise` brings it into the corpus.

pub(crate) mod differential; // the core against other implementations

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context as _;

use crate::misuse::Misuse;
use crate::process;
use crate::workspace::Workspace;

/// Edge counters, and the operands of comparisons, for libFuzzer to learn from.
const COVERAGE_FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

/// Longest input: enough for every rule, short enough to be read by people.
const INPUT_LEN_MAX: u32 = 1024;

/// What is fuzzed, and for how long.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    other: Option<Other>,
    /// This target alone; all of them, one after the other, if nothing is said.
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, value_name = "N", default_value_t = 30)]
    seconds: u32,
    /// Afterwards replace the target's corpus by the fewest inputs that reach as much.
    #[arg(long)]
    minimise: bool,
    /// Name the targets and run nothing.
    #[arg(long)]
    list: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Other {
    /// Compare with tungstenite and wsproto on random and mutated streams.
    Differential(differential::Options),
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<ExitCode> {
    if let Some(Other::Differential(options)) = &options.other {
        return differential::run(workspace, options);
    }
    let corpus = workspace.root.join("fuzz/corpus");
    let all = targets(&corpus)?;
    if options.list {
        for target in all {
            println!("{target}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = match &options.target {
        None => all,
        Some(name) if all.contains(name) => vec![name.clone()],
        Some(name) => {
            let problem = format!("no target `{name}`; `cargo xtask fuzz --list` names them");
            return Err(Misuse(problem).into());
        }
    };
    let program = build(workspace)?;
    for target in chosen {
        let folders = Folders::create(workspace, &corpus, &target)?;
        fuzz(&program, &target, &folders, options.seconds)?;
        if options.minimise {
            minimise(&program, &target, &folders)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A target has a corpus; a test sees to it.
fn targets(corpus: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(corpus).with_context(|| format!("{}", corpus.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Where a target's inputs are.
struct Folders {
    committed: PathBuf,
    found: PathBuf,
    failures: PathBuf,
    merged: PathBuf,
}

impl Folders {
    fn create(workspace: &Workspace, corpus: &Path, target: &str) -> anyhow::Result<Self> {
        let work = workspace.target_directory.join("fuzz").join(target);
        let folders = Self {
            committed: corpus.join(target),
            found: work.join("found"),
            failures: work.join("failures"),
            merged: work.join("merged"),
        };
        for folder in [&folders.found, &folders.failures] {
            fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
        }
        Ok(folders)
    }
}

/// Builds the program that holds all targets. The host is named as the target so that build
/// scripts are compiled without the flags.
fn build(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let host = process::host()?;
    let folder = workspace.target_directory.join("fuzz/build");
    process::run(
        process::cargo()
            .args(["build", "--release", "--locked", "--target", &host])
            .arg("--target-dir")
            .arg(&folder)
            .env("CARGO_ENCODED_RUSTFLAGS", COVERAGE_FLAGS.join("\x1f"))
            .current_dir(workspace.root.join("fuzz/libfuzzer")),
    )?;
    Ok(folder.join(host).join("release/tidewire-libfuzzer"))
}

fn fuzz(program: &Path, target: &str, folders: &Folders, seconds: u32) -> anyhow::Result<()> {
    println!("\n== {target}, {seconds} s");
    let failures = format!("{}/", folders.failures.display());
    let mut command = command(program, target);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={failures}"))
        .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .arg(&folders.found)
        .arg(&folders.committed);
    process::run(&mut command).with_context(|| {
        format!(
            "target `{target}` found something: the input is in {failures}; copy it to \
             fuzz/corpus/{target} under a name that says what it is, and \
             `cargo test -p tidewire-fuzz` replays it"
        )
    })
}

/// The smallest set of inputs that reaches every edge the known ones reach, as the corpus.
fn minimise(program: &Path, target: &str, folders: &Folders) -> anyhow::Result<()> {
    if folders.merged.exists() {
        fs::remove_dir_all(&folders.merged)?;
    }
    fs::create_dir_all(&folders.merged)?;
    process::run(
        command(program, target)
            // By edges, not by how often each is passed: that keeps the corpus small.
            .args(["-set_cover_merge=1", "-use_counters=0"])
            .arg(&folders.merged)
            .arg(&folders.committed)
            .arg(&folders.found),
    )?;
    // What people named is kept: a finding stays, whatever else reaches its edges.
    for entry in fs::read_dir(&folders.committed)? {
        let path = entry?.path();
        if is_hash(&path) {
            fs::remove_file(&path)?;
        }
    }
    let mut count = 0;
    for entry in fs::read_dir(&folders.merged)? {
        let entry = entry?;
        fs::copy(entry.path(), folders.committed.join(entry.file_name()))?;
        count += 1;
    }
    println!("{count} inputs in {}", folders.committed.display());
    Ok(())
}

fn command(program: &Path, target: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env("TIDEWIRE_FUZZ_TARGET", target)
        .arg(format!("-max_len={INPUT_LEN_MAX}"));
    command
}

/// libFuzzer names its inputs by their SHA-1.
fn is_hash(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_with_a_name_are_no_hashes() {
        assert!(is_hash(Path::new(
            "a/da39a3ee5e6b4b0d3255bfef95601890afd80709"
        )));
        assert!(!is_hash(Path::new("a/server_hello")));
    }
}

//! The Autobahn suite: its installation under the build output, and one run of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::process;

/// What decides about the installation; a change in one of them renews it.
const INPUTS: &[&str] = &["requirements.txt", "suite.txt", "convert.py", "octets.py"];

/// An installed suite.
#[derive(Debug)]
pub(super) struct Suite {
    scripts: PathBuf,
    folder: PathBuf,
}

/// What a run has written down.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Report {
    /// Every case that was asked for.
    pub selected: Vec<String>,
    /// Why the run ended early, if it did.
    pub stopped: Option<String>,
    pub results: BTreeMap<String, CaseResult>,
}

/// The verdict on one case.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CaseResult {
    pub behavior: String,
    pub behavior_close: String,
    pub milliseconds: u64,
    /// In words, where the verdict is not OK.
    #[serde(default)]
    pub result: String,
    #[serde(default)]
    pub result_close: String,
}

impl Suite {
    /// Installs into `folder` what the files in `scripts` say, unless it is there already.
    pub(super) fn install(scripts: &Path, folder: &Path) -> anyhow::Result<Self> {
        let suite = Self {
            scripts: scripts.to_owned(),
            folder: folder.to_owned(),
        };
        let mut inputs = String::new();
        for name in INPUTS {
            let file = scripts.join(name);
            inputs += &fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
        }
        let stamp = folder.join("installed");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == inputs) {
            return Ok(suite);
        }
        for part in ["installed", "venv", "download", "suite"] {
            remove(&folder.join(part))?;
        }
        let venv = folder.join("venv");
        process::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        process::run(
            suite
                .pip("install")
                .arg("--requirement")
                .arg(scripts.join("requirements.txt")),
        )?;
        // A Python 2 wheel: downloaded as an archive, never installed.
        let download = folder.join("download");
        process::run(
            suite
                .pip("download")
                .args(["--no-deps", "--python-version", "27"])
                .args([
                    "--implementation",
                    "py",
                    "--abi",
                    "none",
                    "--platform",
                    "any",
                ])
                .arg("--dest")
                .arg(&download)
                .arg("--requirement")
                .arg(scripts.join("suite.txt")),
        )?;
        process::run(
            suite
                .python()
                .arg(scripts.join("convert.py"))
                .arg(only_file(&download)?)
                .arg(folder.join("suite")),
        )?;
        fs::write(&stamp, inputs).with_context(|| format!("{}", stamp.display()))?;
        Ok(suite)
    }

    /// Runs the cases against the server at `url`. A verdict of any kind is a success here.
    pub(super) fn test_server(
        &self,
        url: &str,
        cases: &str,
        limit: Duration,
    ) -> anyhow::Result<Report> {
        let file = self.report_file();
        remove(&file)?;
        println!("running cases {cases} against {url}");
        let mut child = self
            .python()
            .arg(self.scripts.join("fuzz.py"))
            .args(["server", "--url", url, "--cases", cases])
            .args(["--limit", &limit.as_secs().to_string()])
            .arg("--suite")
            .arg(self.folder.join("suite"))
            .arg("--out")
            .arg(&file)
            // It ends by itself when this pipe closes, so it never outlives this task.
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start the suite")?;
        // `wait` would close the pipe at once.
        let pipe = child.stdin.take();
        let status = child.wait()?;
        drop(pipe);
        if !status.success() {
            bail!("the suite ended with {status}");
        }
        let json = fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
        serde_json::from_str(&json).with_context(|| format!("{}", file.display()))
    }

    /// Verdicts, and the frames of every case that is not OK.
    pub(super) fn report_file(&self) -> PathBuf {
        self.folder.join("report-server.json")
    }

    fn python(&self) -> Command {
        Command::new(self.folder.join("venv/bin/python"))
    }

    fn pip(&self, task: &str) -> Command {
        let mut command = self.python();
        command
            .args(["-m", "pip", "--disable-pip-version-check", "--quiet", task])
            .args(["--require-hashes", "--only-binary=:all:"]);
        command
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else if path.exists() {
        fs::remove_file(path)
    } else {
        Ok(())
    };
    removed.with_context(|| format!("cannot remove {}", path.display()))
}

fn only_file(folder: &Path) -> anyhow::Result<PathBuf> {
    let entry = fs::read_dir(folder)?
        .next()
        .with_context(|| format!("nothing was downloaded into {}", folder.display()))?;
    Ok(entry?.path())
}

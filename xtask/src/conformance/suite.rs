//! The Autobahn suite: its installation under the build output, and the commands it has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::misuse::Misuse;
use crate::process;

/// What decides about the installation; a change in one of them renews it.
const INPUTS: &[&str] = &["requirements.txt", "suite.txt", "convert.py", "octets.py"];

/// An installed suite.
#[derive(Debug)]
pub(super) struct Suite {
    scripts: PathBuf,
    folder: PathBuf,
}

/// A certificate for the loopback address and its key, in PEM files.
#[derive(Debug)]
pub(super) struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    /// Makes one that is valid for a day or two.
    pub(super) fn make(suite: &Suite) -> anyhow::Result<Self> {
        let made = Self {
            certificate: suite.folder.join("certificate.pem"),
            key: suite.folder.join("key.pem"),
        };
        process::run(
            suite
                .python()
                .arg(suite.scripts.join("certificate.py"))
                .args([&made.certificate, &made.key]),
        )?;
        Ok(made)
    }
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

    /// The cases that the comma list means, in the order in which they should be run.
    pub(super) fn cases(&self, list: &str) -> anyhow::Result<Vec<String>> {
        let lines = process::read(self.fuzz("list").args(["--cases", list]))?;
        let cases: Vec<String> = lines.lines().map(str::to_owned).collect();
        if cases.is_empty() {
            return Err(Misuse(format!("the suite has no case among {list}")).into());
        }
        Ok(cases)
    }

    /// A fuzzing client for the server at `url`.
    pub(super) fn test_server(&self, url: &str) -> Command {
        let mut command = self.fuzz("server");
        command.args(["--url", url]);
        command
    }

    /// A fuzzing server, with TLS if there is a certificate.
    pub(super) fn test_client(&self, cases: &[String], tls: Option<&Certificate>) -> Command {
        let mut command = self.fuzz("client");
        command.args(["--cases", &cases.join(",")]);
        if let Some(tls) = tls {
            command.arg("--certificate").arg(&tls.certificate);
            command.arg("--key").arg(&tls.key);
        }
        command
    }

    fn fuzz(&self, task: &str) -> Command {
        let mut command = self.python();
        command
            .arg(self.scripts.join("fuzz.py"))
            .arg(task)
            .arg("--suite")
            .arg(self.folder.join("suite"));
        command
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

//! `tidewire gateway` between the fuzzing client and the server under test: it must not show.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use super::program::{await_url, end, spawn};

/// How the gateway passes on what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Through {
    /// As bytes, as it does where no rule looks into messages.
    Relay,
    /// As messages, which a rate limit makes it read.
    Messages,
}

impl Through {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Messages => "messages",
        }
    }

    /// A rate that nothing reaches makes the gateway look at messages all the same.
    fn rule(self) -> &'static str {
        match self {
            Self::Relay => "",
            Self::Messages => "rates = { messages_per_second = 1000000000 }\n",
        }
    }
}

/// A running gateway. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Gateway {
    child: Child,
    url: String,
}

impl Gateway {
    /// Starts `binary` in front of the server at `upstream`, with everything it writes in `folder`.
    pub(super) fn start(
        binary: &Path,
        through: Through,
        upstream: &str,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let config_file = folder.join("gateway.toml");
        fs::write(&config_file, config(through, upstream))
            .with_context(|| format!("{}", config_file.display()))?;
        let mut command = Command::new(binary);
        command.arg("gateway").arg("--config").arg(&config_file);
        let log_file = folder.join("gateway.log");
        let (child, stdout) = spawn(command, &log_file)?;
        let mut gateway = Self {
            child,
            url: String::new(),
        };
        gateway.url = await_url(stdout, "gateway").with_context(|| {
            format!("the gateway did not get ready, see {}", log_file.display())
        })?;
        Ok(gateway)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Ends the process; fails if it had ended by itself.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the gateway ended by itself during the run, with {status}");
        }
        end(&mut self.child);
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn config(through: Through, upstream: &str) -> String {
    let rule = through.rule();
    format!(
        "[[listeners]]\naddress = '127.0.0.1:0'\n\
         [endpoints.echo]\nupstreams = ['{upstream}']\n{rule}\
         [[routes]]\nendpoint = 'echo'\npath = '*'\n"
    )
}

//! What is tested: a server or a client of ours, as a process of its own. It ends with its value.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context as _, bail};

use super::gateway::{Gateway, Through};
use super::program::{await_url, end, spawn};
use super::suite::Certificate;
use super::{Options, Role};
use crate::process;
use crate::workspace::Workspace;

/// The example programs, built as the binary is: compression in a debug build takes minutes.
const EXAMPLES: &[&str] = &["conformance_server", "conformance_client"];

/// Cases of group 9 send messages of 16 MiB and of 65 537 fragments.
const SERVER_CONFIG: &str = "\
[server.echo_limits]
message_bytes_max = \"32M\"
fragments_max = 100000
";

/// The programs under test.
#[derive(Debug)]
pub(super) struct Subject {
    server: ServerProgram,
    client: PathBuf,
    /// It is ours, and takes our options.
    client_is_example: bool,
    /// The binary whose gateway stands before the server, and how it works.
    through: Option<(PathBuf, Through)>,
    /// Where they write.
    folder: PathBuf,
}

#[derive(Debug)]
enum ServerProgram {
    /// Nothing is started.
    Url(String),
    /// `tidewire serve --echo`.
    Binary(PathBuf),
    Example(PathBuf),
}

impl Subject {
    /// Builds the examples, unless others are tested in their place.
    pub(super) fn build(
        workspace: &Workspace,
        options: &Options,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let tests = |tested| {
            let subjects = options.subjects();
            subjects.iter().any(|&(role, _)| role == tested)
        };
        let build_server = options.url.is_none() && options.bin.is_none() && tests(Role::Server);
        let build_client = options.client.is_none() && tests(Role::Client);
        if build_server || build_client {
            let mut cargo = process::cargo();
            cargo.args(["build", "--release", "--locked", "--package", "tidewire"]);
            for example in EXAMPLES {
                cargo.args(["--example", example]);
            }
            process::run(cargo.current_dir(&workspace.root))?;
        }
        let example = |name: &str| {
            let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
            workspace
                .target_directory
                .join("release/examples")
                .join(file)
        };
        Ok(Self {
            server: match (&options.url, &options.bin) {
                (Some(url), _) => ServerProgram::Url(url.clone()),
                (None, Some(binary)) => ServerProgram::Binary(binary.clone()),
                (None, None) => ServerProgram::Example(example("conformance_server")),
            },
            client: match &options.client {
                Some(client) => client.clone(),
                None => example("conformance_client"),
            },
            client_is_example: options.client.is_none(),
            through: options.through.map(|through| {
                let built = || workspace.target_directory.join("release/tidewire");
                (options.gateway.clone().unwrap_or_else(built), through)
            }),
            folder: folder.to_owned(),
        })
    }
}

/// A running echo server. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Server {
    /// `None`: it was not started here.
    child: Option<Child>,
    /// It is reached through this.
    gateway: Option<Gateway>,
    url: String,
}

impl Server {
    /// Starts the server and waits until it is ready.
    pub(super) fn start(subject: &Subject, tls: Option<&Certificate>) -> anyhow::Result<Self> {
        let command = match &subject.server {
            ServerProgram::Url(url) => {
                return Ok(Self {
                    child: None,
                    gateway: None,
                    url: url.clone(),
                });
            }
            ServerProgram::Binary(binary) => serve(binary, &subject.folder.join("server"), tls)?,
            ServerProgram::Example(example) => {
                let mut command = Command::new(example);
                command.arg("--deflate");
                // A gateway that reads messages compresses them, too.
                if matches!(subject.through, Some((_, Through::Messages))) {
                    command.arg("--any-ratio");
                }
                if let Some(tls) = tls {
                    command.arg("--tls").args([&tls.certificate, &tls.key]);
                }
                command
            }
        };
        let log_file = subject.folder.join("server.log");
        let (child, stdout) = spawn(command, &log_file)?;
        let mut server = Self {
            child: Some(child),
            gateway: None,
            url: String::new(),
        };
        server.url = await_url(stdout, "echo")
            .with_context(|| format!("the server did not get ready, see {}", log_file.display()))?;
        if let Some((binary, through)) = &subject.through {
            let gateway = Gateway::start(binary, *through, &server.url, &subject.folder)?;
            gateway.url().clone_into(&mut server.url);
            server.gateway = Some(gateway);
        }
        Ok(server)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Ends the processes; fails if one had ended by itself.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut gateway) = self.gateway.take() {
            gateway.stop()?;
        }
        let Some(child) = &mut self.child else {
            return Ok(());
        };
        if let Some(status) = child.try_wait()? {
            bail!("the server ended by itself during the run, with {status}");
        }
        child.kill()?;
        child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
    }
}

/// A running client, which asks for cases. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Client {
    child: Child,
    log_file: PathBuf,
}

impl Client {
    /// Starts the client with the URLs of the fuzzing servers.
    pub(super) fn start(
        subject: &Subject,
        tls: Option<&Certificate>,
        urls: &[String],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(&subject.client);
        if subject.client_is_example {
            command.arg("--deflate");
            if let Some(tls) = tls {
                command.arg("--trust").arg(&tls.certificate);
            }
        }
        command.args(urls);
        let log_file = subject.folder.join("client.log");
        // Its output says nothing that is waited for.
        let (child, _stdout) = spawn(command, &log_file)?;
        Ok(Self { child, log_file })
    }

    /// Returns whether it has run through all cases; fails if it did not get so far.
    pub(super) fn try_wait(&mut self) -> Option<anyhow::Result<()>> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) if status.success() => Some(Ok(())),
            Ok(Some(status)) => {
                let log_file = self.log_file.display();
                Some(Err(anyhow::anyhow!(
                    "the client ended with {status}, see {log_file}"
                )))
            }
            Err(error) => Some(Err(error.into())),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// The command that starts the messaging server, with everything it writes in `folder`, which
/// is emptied first.
fn serve(binary: &Path, folder: &Path, tls: Option<&Certificate>) -> anyhow::Result<Command> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    let mut config = SERVER_CONFIG.to_owned();
    if let Some(tls) = tls {
        let (certificate, key) = (tls.certificate.display(), tls.key.display());
        let table = [
            "[server.tls]\nenabled = true\n".to_owned(),
            format!("certificate = '{certificate}'\n"),
            format!("key = '{key}'\n"),
        ];
        config += &table.concat();
    }
    let config_file = folder.join("tidewire.toml");
    fs::write(&config_file, config).with_context(|| format!("{}", config_file.display()))?;
    let mut command = Command::new(binary);
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(["--rest-listen", "127.0.0.1:0", "--echo"])
        .arg("--config")
        .arg(&config_file)
        .arg("--data-dir")
        .arg(folder.join("data"));
    Ok(command)
}

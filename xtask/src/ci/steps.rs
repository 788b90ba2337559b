//! The steps of continuous integration, in order: cheap and telling ones first.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::bail;

use super::{examples, features, msrv, platforms, public_types, readme, setup};
use crate::conformance::Through;
use crate::fuzz::differential;
use crate::outcome::Outcome;
use crate::workspace::Workspace;
use crate::{conformance, dependencies, package, process, site, tidy};

/// One thing that passes or fails.
#[derive(Debug)]
pub(super) struct Step {
    pub name: &'static str,
    pub purpose: &'static str,
    pub run: fn(&Workspace) -> anyhow::Result<Outcome>,
}

pub(super) const STEPS: &[Step] = &[
    Step {
        name: "setup",
        purpose: "the programs the later steps need",
        run: |workspace| {
            setup::run()?;
            dependencies::install(workspace)?;
            Ok(Outcome::Passed)
        },
    },
    Step {
        name: "fmt",
        purpose: "one format",
        run: |workspace| cargo(workspace, &["fmt", "--all", "--check"]),
    },
    Step {
        name: "clippy",
        purpose: "lints, as errors",
        run: clippy,
    },
    Step {
        name: "tidy",
        purpose: "checks of our own",
        run: |workspace| success(tidy::run(workspace)?),
    },
    Step {
        name: "deny",
        purpose: "licences, duplicates and sources of what is in the lock file",
        run: dependencies::deny,
    },
    Step {
        name: "advisories",
        purpose: "known vulnerabilities, where the database can be fetched",
        run: dependencies::advisories,
    },
    Step {
        name: "msrv",
        purpose: "the oldest compiler the manifests state",
        run: msrv::run,
    },
    Step {
        name: "features",
        purpose: "the libraries with no, each and all features; how many crates they bring",
        run: features::run,
    },
    Step {
        name: "platforms",
        purpose: "the libraries for macOS and Windows, where their standard libraries can be had",
        run: platforms::run,
    },
    Step {
        name: "test",
        purpose: "unit, crate, system and doc tests",
        run: |workspace| {
            cargo(
                workspace,
                &["test", "--workspace", "--all-features", "--locked"],
            )
        },
    },
    Step {
        name: "examples",
        purpose: "all examples build, those that end by themselves run",
        run: examples::run,
    },
    Step {
        name: "readme",
        purpose: "README's blocks in order, its program and its lines for the JavaScript client, as a newcomer types them",
        run: readme::run,
    },
    Step {
        name: "differential",
        purpose: "the core against tungstenite and wsproto on the same streams",
        run: |workspace| {
            success(differential::run(
                workspace,
                &differential::Options::default(),
            )?)
        },
    },
    Step {
        name: "doc",
        purpose: "documentation without warnings",
        run: doc,
    },
    Step {
        name: "public-types",
        purpose: "whose types stand in the libraries' public signatures",
        run: public_types::run,
    },
    Step {
        name: "release",
        purpose: "the binary that is shipped",
        run: |workspace| cargo(workspace, &["build", "--release", "--locked"]),
    },
    Step {
        name: "site",
        purpose: "the documentation site: its links, its search, its examples of the REST API",
        run: |workspace| success(site::run(workspace, &site::Options::default())?),
    },
    Step {
        name: "packages",
        purpose: "the package for Debian, installed and removed; bill of materials, licences; recipes of containers",
        run: package::check,
    },
    Step {
        name: "clients",
        purpose: "the JavaScript client; the release binary and the library, used from Node and Python; dying backends",
        run: clients,
    },
    Step {
        name: "ledger",
        purpose: "accepted messages over bad networks and killed servers: none is lost, none comes after its proof",
        run: ledger,
    },
    Step {
        name: "conformance",
        purpose: "the Autobahn suite against our server and our client, with and without TLS, and through the gateway, as bytes and as messages",
        run: |workspace| {
            for options in [
                conformance::Options::default(),
                conformance::Options::through_gateway(Through::Relay),
                conformance::Options::through_gateway(Through::Messages),
            ] {
                success(conformance::run(workspace, &options)?)?;
            }
            Ok(Outcome::Passed)
        },
    },
];

fn clippy(workspace: &Workspace) -> anyhow::Result<Outcome> {
    let mut args = vec![
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--locked",
    ];
    args.extend(["--", "-D", "warnings"]);
    cargo(workspace, &args)
}

fn doc(workspace: &Workspace) -> anyhow::Result<Outcome> {
    process::run(
        process::cargo()
            .args(["doc", "--workspace", "--no-deps", "--locked"])
            .env("RUSTDOCFLAGS", "-D warnings")
            .current_dir(&workspace.root),
    )?;
    Ok(Outcome::Passed)
}

/// The scenarios of `tidewire-bench faults`, short: what is lost or goes astray fails, figures do not.
const FAULTS: &[&[&str]] = &[
    &["--seconds", "10"],
    &["isolation", "--seconds", "1", "--endpoints", "3"],
    &["stuck", "--seconds", "1"],
];

/// Tests written in other languages: of our own client, and of our servers with clients of others.
/// The latter get the binary in `SERVER_BIN`, the library's server and client in
/// `LIBRARY_SERVER` and `LIBRARY_CLIENT`, its client of gateways in `GATEWAY_CLIENT`, and the folder of its programs of
/// HTTP in `HTTP_EXAMPLES`.
fn clients(workspace: &Workspace) -> anyhow::Result<Outcome> {
    javascript_client(workspace)?;
    let binary = workspace.target_directory.join("release/tidewire");
    if !binary.is_file() {
        bail!(
            "{} is missing, expected from step `release`",
            binary.display()
        );
    }
    let node = workspace.root.join("tests/clients/node");
    let python = workspace.root.join("tests/clients/python");
    for folder in [&node, &python] {
        if !folder.is_dir() {
            bail!("{} is missing", workspace.relative(folder).display());
        }
    }
    let examples = library_examples(workspace)?;
    process::run(
        Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(&node),
    )?;
    process::run(
        Command::new("node")
            .arg("--test")
            .env("SERVER_BIN", &binary)
            .envs(&examples)
            .current_dir(&node),
    )?;
    let venv = workspace.target_directory.join("clients-venv");
    process::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let interpreter = venv.join("bin/python");
    process::run(
        Command::new(&interpreter)
            .args(["-m", "pip", "--disable-pip-version-check", "--quiet"])
            .args(["install", "--requirement", "requirements.txt"])
            .current_dir(&python),
    )?;
    process::run(
        Command::new(&interpreter)
            .args(["-m", "unittest", "discover"])
            .env("SERVER_BIN", &binary)
            .envs(&examples)
            .current_dir(&python),
    )?;
    let bench = workspace.target_directory.join("release/tidewire-bench");
    for arguments in FAULTS {
        process::run(
            Command::new(&bench)
                .arg("faults")
                .args(*arguments)
                .arg("--program")
                .arg(&binary),
        )?;
    }
    Ok(Outcome::Passed)
}

/// The rounds of `tidewire-bench ledger`: all faults and all clients, with and without kills, a minute in all.
const LEDGERS: &[&[&str]] = &[&["--seed", "1,2,3"], &["--seed", "4,5,6", "--kill"]];

fn ledger(workspace: &Workspace) -> anyhow::Result<Outcome> {
    cargo(
        workspace,
        &[
            "build",
            "--release",
            "--locked",
            "--package",
            "tidewire-bench",
        ],
    )?;
    let release = workspace.target_directory.join("release");
    for arguments in LEDGERS {
        process::run(
            Command::new(release.join("tidewire-bench"))
                .args(["ledger", "--seconds", "8", "--speed", "5", "--users", "26"])
                .args(*arguments)
                .arg("--server")
                .arg(release.join("tidewire")),
        )?;
    }
    Ok(Outcome::Passed)
}

/// Builds, type checks and tests `clients/js`, in Node and in Chromium.
fn javascript_client(workspace: &Workspace) -> anyhow::Result<()> {
    let folder = workspace.root.join("clients/js");
    let install = ["ci", "--no-audit", "--no-fund"];
    // The versions of Node in which the examples run.
    let versions = folder.join("test/versions");
    for folder in [&folder, &versions] {
        process::run(Command::new("npm").args(install).current_dir(folder))?;
    }
    process::run(
        Command::new("npm")
            .arg("test")
            .env("NODE_VERSIONS_REQUIRED", "1")
            .current_dir(&folder),
    )
}

/// Builds the library's programs that foreign peers speak to, and returns where they are, by the variable that names each to the
/// tests. Those that echo as fast as they can are optimized; those of a console are the ones that step `test` has built.
fn library_examples(workspace: &Workspace) -> anyhow::Result<HashMap<&'static str, PathBuf>> {
    let mut optimized = process::cargo();
    optimized
        .args(["build", "--release", "--locked", "--package", "tidewire"])
        .args(["--package", "tidewire-bench", "--bin", "tidewire-bench"])
        .current_dir(&workspace.root);
    for (_, example) in OPTIMIZED_EXAMPLES {
        optimized.args(["--example", example]);
    }
    process::run(&mut optimized)?;
    let console = &[
        "build",
        "--workspace",
        "--all-features",
        "--locked",
        "--examples",
    ];
    cargo(workspace, console)?;
    let target = &workspace.target_directory;
    let mut examples = HashMap::from([("HTTP_EXAMPLES", target.join("debug/examples"))]);
    for (list, folder) in [
        (OPTIMIZED_EXAMPLES, "release/examples"),
        (CONSOLE_EXAMPLES, "debug/examples"),
    ] {
        let paths = list
            .iter()
            .map(|(variable, example)| (*variable, target.join(folder).join(example)));
        examples.extend(paths);
    }
    Ok(examples)
}

const OPTIMIZED_EXAMPLES: &[(&str, &str)] = &[
    ("LIBRARY_SERVER", "conformance_server"),
    ("LIBRARY_CLIENT", "conformance_client"),
    ("GATEWAY_CLIENT", "gateway_client"),
];

const CONSOLE_EXAMPLES: &[(&str, &str)] = &[
    ("ASIO_SERVICE", "asio_service"),
    ("ASIO_TIMER", "asio_timer"),
    ("TCP_CHAT_SERVER", "tcp_chat_server"),
    ("TCP_CHAT_CLIENT", "tcp_chat_client"),
    ("SSL_CHAT_SERVER", "ssl_chat_server"),
    ("SSL_CHAT_CLIENT", "ssl_chat_client"),
    ("PROTO_SERVER", "proto_server"),
    ("UDP_ECHO_SERVER", "udp_echo_server"),
    ("UDP_ECHO_CLIENT", "udp_echo_client"),
    ("UDP_MULTICAST_SERVER", "udp_multicast_server"),
    ("UDP_MULTICAST_CLIENT", "udp_multicast_client"),
];

fn cargo(workspace: &Workspace, args: &[&str]) -> anyhow::Result<Outcome> {
    process::run(process::cargo().args(args).current_dir(&workspace.root))?;
    Ok(Outcome::Passed)
}

fn success(code: ExitCode) -> anyhow::Result<Outcome> {
    if code != ExitCode::SUCCESS {
        bail!("see above");
    }
    Ok(Outcome::Passed)
}

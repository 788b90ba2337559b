//! Sees to it that the programs which no manifest brings are there: parts of the Rust toolchain, and those which are
//! not Rust's. On Debian and as root what is missing is installed; elsewhere it is named.

use std::process::Command;

use anyhow::bail;

use crate::process;

/// A program, how to see that it works, and the Debian package that brings it.
struct Need {
    program: &'static str,
    probe: &'static [&'static str],
    package: &'static str,
    /// What the package must be, where not every release of Debian has it.
    expected: &'static str,
}

impl Need {
    const fn any(
        program: &'static str,
        probe: &'static [&'static str],
        package: &'static str,
    ) -> Self {
        Self {
            program,
            probe,
            package,
            expected: "any version",
        }
    }
}

const NEEDS: &[Need] = &[
    Need::any("python3", &["-c", "import ensurepip, venv"], "python3-venv"),
    Need {
        program: "node",
        // What the manifests of our packages state under `engines`.
        probe: &[
            "-e",
            "const [major, minor] = process.versions.node.split('.').map(Number);\
             process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)",
        ],
        package: "nodejs",
        expected: "20.19 or newer; Debian 12 has 18, nodejs.org and NodeSource have packages for it",
    },
    Need::any("npm", &["--version"], "npm"),
    Need::any("chromium", &["--version"], "chromium"),
    Need::any("nginx", &["-v"], "nginx"),
    Need::any("haproxy", &["-v"], "haproxy"),
    Need::any("busybox", &["true"], "busybox"),
    Need::any("strace", &["--version"], "strace"),
    // README's blocks, which are run as they stand there.
    Need::any("openssl", &["version"], "openssl"),
    Need::any("curl", &["--version"], "curl"),
    // UDP: a foreign peer, a witness, and interfaces that carry groups of IPv6.
    Need::any("socat", &["-V"], "socat"),
    Need::any("tcpdump", &["--version"], "tcpdump"),
    Need::any("ip", &["-V"], "iproute2"),
    // Systems that events are passed on to.
    Need::any("redis-server", &["--version"], "redis-server"),
    // Debian keeps the server itself off the path.
    Need::any(
        "sh",
        &["-c", "ls /usr/lib/postgresql/*/bin/postgres"],
        "postgresql",
    ),
    Need::any("mariadbd", &["--version"], "mariadb-server"),
    Need::any("rabbitmqctl", &["version"], "rabbitmq-server"),
    Need::any("nats-server", &["--version"], "nats-server"),
    // The package for Debian, which is installed in namespaces of its own.
    Need::any("lintian", &["--version"], "lintian"),
    Need::any("dpkg-deb", &["--version"], "dpkg"),
    Need::any("objdump", &["--version"], "binutils"),
    Need::any("adduser", &["--version"], "adduser"),
    Need::any("systemd-analyze", &["--version"], "systemd"),
    Need::any("unshare", &["--version"], "util-linux"),
    // Tests of stops and reloads send signals by it.
    Need::any("kill", &["-l"], "procps"),
];

/// Parts of the toolchain that rustup leaves out of its minimal profile.
const COMPONENTS: &[(&str, &str)] = &[("fmt", "rustfmt"), ("clippy", "clippy")];

pub(super) fn run() -> anyhow::Result<()> {
    components()?;
    programs()
}

fn components() -> anyhow::Result<()> {
    for (command, component) in COMPONENTS {
        if process::read(process::cargo().args([*command, "--version"])).is_err() {
            process::run(Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    Ok(())
}

fn programs() -> anyhow::Result<()> {
    let packages: Vec<&str> = missing().iter().map(|need| need.package).collect();
    if packages.is_empty() {
        println!("all {} programs are there", NEEDS.len());
        return Ok(());
    }
    let install = format!("apt-get install {}", packages.join(" "));
    if !is_root() {
        bail!("programs are missing, expected what `{install}` brings (run as root)");
    }
    process::run(Command::new("apt-get").args(["--quiet", "update"]))?;
    process::run(
        Command::new("apt-get")
            .args(["install", "--quiet", "--yes", "--no-install-recommends"])
            .args(&packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )?;
    if let Some(need) = missing().first() {
        let (program, expected) = (need.program, need.expected);
        bail!("`{program}` does not work after `{install}`, expected {expected}");
    }
    Ok(())
}

fn missing() -> Vec<&'static Need> {
    NEEDS
        .iter()
        .filter(|need| !process::succeeds(need.program, need.probe))
        .collect()
}

fn is_root() -> bool {
    process::read(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

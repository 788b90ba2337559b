//! Sees to it that the programs which are not Rust's are there. On Debian and as root
//! what is missing is installed; elsewhere it is named.

use std::process::Command;

use anyhow::bail;

use crate::process;

/// A program, how to see that it works, and the Debian package that brings it.
struct Need {
    program: &'static str,
    probe: &'static [&'static str],
    package: &'static str,
}

const NEEDS: &[Need] = &[
    Need {
        program: "python3",
        probe: &["-c", "import ensurepip, venv"],
        package: "python3-venv",
    },
    Need {
        program: "node",
        probe: &["--version"],
        package: "nodejs",
    },
    Need {
        program: "npm",
        probe: &["--version"],
        package: "npm",
    },
    Need {
        program: "chromium",
        probe: &["--version"],
        package: "chromium",
    },
    Need {
        program: "nginx",
        probe: &["-v"],
        package: "nginx",
    },
    Need {
        program: "haproxy",
        probe: &["-v"],
        package: "haproxy",
    },
    Need {
        program: "strace",
        probe: &["--version"],
        package: "strace",
    },
];

pub(super) fn run() -> anyhow::Result<()> {
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
        bail!("`{}` does not work after `{install}`", need.program);
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

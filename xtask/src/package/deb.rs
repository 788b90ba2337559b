//! The package for Debian and Ubuntu, made by `dpkg-deb` from the release binary and `packaging/debian`.
//!
//! The same input gives the same bytes: times are those of the last commit.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::{folder, licences, sbom};
use crate::process;
use crate::workspace::Workspace;

/// Counts packages of one version of the program.
const REVISION: &str = "1";

/// The names of a package's scripts.
const SCRIPTS: &[&str] = &["postinst", "prerm", "postrm"];

const UNITS: &[&str] = &["tidewire.service", "tidewire-gateway.service"];

/// Rules for what is uploaded to Debian itself; and the gateway is only restarted where it runs, which the helper cannot do.
const NOT_MEANT: &str = "initial-upload-closes-no-bugs,maintainer-script-calls-systemctl";

/// Where shells look for completions.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions/tidewire"),
    ("zsh", "usr/share/zsh/vendor-completions/_tidewire"),
    ("fish", "usr/share/fish/vendor_completions.d/tidewire.fish"),
];

/// A tree that becomes a package.
struct Tree {
    root: PathBuf,
}

impl Tree {
    fn write(&self, path: &str, content: &[u8], mode: u32) -> anyhow::Result<()> {
        let path = self.root.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content).with_context(|| path.display().to_string())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(())
    }

    /// Compressed, as Debian wants its documents; without a time, so that the bytes stay the same.
    fn write_compressed(&self, path: &str, content: &[u8]) -> anyhow::Result<()> {
        self.write(path, content, 0o644)?;
        process::read(
            Command::new("gzip")
                .args(["--best", "--no-name", "--force"])
                .arg(self.root.join(path)),
        )?;
        Ok(())
    }
}

pub(super) fn build(workspace: &Workspace, program: &Path) -> anyhow::Result<PathBuf> {
    let folder = folder(workspace)?;
    let tree = Tree {
        root: folder.join("deb"),
    };
    if tree.root.exists() {
        fs::remove_dir_all(&tree.root)?;
    }
    let version = process::read(Command::new(program).arg("--version"))?;
    let version = version.trim().trim_start_matches("tidewire ").to_owned();
    let version = format!("{version}-{REVISION}");
    let time = commit_time(workspace)?;
    put_program(&tree, program)?;
    put_configuration(&tree, program)?;
    for unit in UNITS {
        let text = fs::read(workspace.root.join("packaging/systemd").join(unit)).context(*unit)?;
        tree.write(&format!("usr/lib/systemd/system/{unit}"), &text, 0o644)?;
    }
    put_documents(workspace, &tree, &version, &time)?;
    put_control(workspace, &tree, &version)?;
    let package = folder.join(format!("tidewire_{version}_{}.deb", architecture()?));
    process::run(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Zxz", "--build"])
            .arg(&tree.root)
            .arg(&package)
            .env("SOURCE_DATE_EPOCH", time.seconds.to_string()),
    )?;
    Ok(package)
}

pub(super) fn lint(package: &Path) -> anyhow::Result<()> {
    process::run(
        Command::new("lintian")
            .args(["--fail-on", "error,warning", "--info", "--allow-root"])
            .args(["--suppress-tags", NOT_MEANT])
            .arg(package),
    )
}

fn architecture() -> anyhow::Result<String> {
    let name = process::read(Command::new("dpkg").arg("--print-architecture"))?;
    Ok(name.trim().to_owned())
}

/// When the last commit was made.
struct Time {
    seconds: u64,
    /// As Debian's changelogs have it.
    words: String,
}

fn commit_time(workspace: &Workspace) -> anyhow::Result<Time> {
    let show = |format: &str| {
        process::read(
            Command::new("git")
                .args(["log", "-1", "--date=rfc2822", &format!("--format={format}")])
                .current_dir(&workspace.root),
        )
    };
    Ok(Time {
        seconds: show("%ct")?.trim().parse().context("a time of git")?,
        words: show("%cd")?.trim().to_owned(),
    })
}

fn put_program(tree: &Tree, program: &Path) -> anyhow::Result<()> {
    let content = fs::read(program).with_context(|| program.display().to_string())?;
    let path = "usr/bin/tidewire";
    tree.write(path, &content, 0o755)?;
    process::run(Command::new("strip").arg(tree.root.join(path)))?;
    let pages = tree.root.join("usr/share/man/man1");
    fs::create_dir_all(&pages)?;
    process::run(Command::new(program).arg("man").arg(&pages))?;
    for entry in fs::read_dir(&pages)? {
        let path = entry?.path();
        process::read(
            Command::new("gzip")
                .args(["--best", "--no-name", "--force"])
                .arg(&path),
        )?;
    }
    for (shell, path) in COMPLETIONS {
        let script = process::read(Command::new(program).args(["completions", shell]))?;
        tree.write(path, script.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// The documented defaults, with the place of data that the unit has.
fn put_configuration(tree: &Tree, program: &Path) -> anyhow::Result<()> {
    let text = process::read(Command::new(program).arg("default-config"))?;
    let there = "data_dir = \"./tidewire-data\"";
    ensure!(
        text.contains(there),
        "the default configuration has no line `{there}`"
    );
    let text = text.replace(there, "data_dir = \"/var/lib/tidewire\"");
    tree.write("etc/tidewire/tidewire.toml", text.as_bytes(), 0o644)?;
    let text = process::read(Command::new(program).args(["default-config", "--gateway"]))?;
    tree.write("etc/tidewire/gateway.toml", text.as_bytes(), 0o644)?;
    let files = "/etc/tidewire/gateway.toml\n/etc/tidewire/tidewire.toml\n";
    tree.write("DEBIAN/conffiles", files.as_bytes(), 0o644)
}

fn put_documents(
    workspace: &Workspace,
    tree: &Tree,
    version: &str,
    time: &Time,
) -> anyhow::Result<()> {
    let documents = "usr/share/doc/tidewire";
    let read =
        |path: &str| fs::read_to_string(workspace.root.join(path)).with_context(|| path.to_owned());
    let text = read("LICENSE-MIT")?;
    let mit: Vec<String> = text
        .trim()
        .lines()
        .map(|line| {
            if line.is_empty() {
                " .".to_owned()
            } else {
                format!(" {line}")
            }
        })
        .collect();
    let copyright = read("packaging/debian/copyright")?.replace("@MIT@", &mit.join("\n"));
    tree.write(
        &format!("{documents}/copyright"),
        copyright.as_bytes(),
        0o644,
    )?;
    let entry = format!(
        "tidewire ({version}) unstable; urgency=medium\n\n  * What changed stands in changelog.gz.\n\n -- {MAINTAINER}  {}\n",
        time.words
    );
    tree.write_compressed(&format!("{documents}/changelog.Debian"), entry.as_bytes())?;
    let changes = read("CHANGELOG.md")?;
    tree.write_compressed(&format!("{documents}/changelog"), changes.as_bytes())?;
    for made in [licences::write(workspace)?, sbom::write(workspace)?] {
        let name = made.file_name().unwrap_or_default().to_string_lossy();
        tree.write_compressed(&format!("{documents}/{name}"), &fs::read(&made)?)?;
    }
    Ok(())
}

/// Who is asked about the package.
const MAINTAINER: &str = "Tidewire developers <tidewire@users.noreply.github.com>";

fn put_control(workspace: &Workspace, tree: &Tree, version: &str) -> anyhow::Result<()> {
    for script in SCRIPTS {
        let text =
            fs::read(workspace.root.join("packaging/debian").join(script)).context(*script)?;
        tree.write(&format!("DEBIAN/{script}"), &text, 0o755)?;
    }
    let sums = process::read(
        Command::new("sh")
            .args([
                "-c",
                "find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum",
            ])
            .current_dir(&tree.root),
    )?;
    tree.write("DEBIAN/md5sums", sums.as_bytes(), 0o644)?;
    let size = process::read(
        Command::new("du")
            .args([
                "--summarize",
                "--apparent-size",
                "--block-size=1024",
                "--exclude=DEBIAN",
                ".",
            ])
            .current_dir(&tree.root),
    )?;
    let size = size
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    let mut control = String::new();
    writeln!(control, "Package: tidewire")?;
    writeln!(control, "Version: {version}")?;
    writeln!(control, "Architecture: {}", architecture()?)?;
    writeln!(control, "Maintainer: {MAINTAINER}")?;
    writeln!(control, "Installed-Size: {size}")?;
    writeln!(control, "Pre-Depends: init-system-helpers (>= 1.54~)")?;
    let libc = c_library(&tree.root.join("usr/bin/tidewire"))?;
    writeln!(control, "Depends: adduser, libc6 (>= {libc}), libgcc-s1")?;
    control.push_str(
        "Section: net\n\
         Priority: optional\n\
         Homepage: https://github.com/tidewire/tidewire\n\
         Description: messages over WebSockets: messaging server and gateway\n \
         The messaging server lets users with any number of connections send each other\n \
         messages as JSON. What it has accepted is on disk until a client of the\n \
         recipient has proved that it arrived. The gateway is one address in front of\n \
         many WebSocket backends, which may restart while clients stay connected.\n",
    );
    tree.write("DEBIAN/control", control.as_bytes(), 0o644)
}

/// The oldest C library that has all the program asks for.
fn c_library(program: &Path) -> anyhow::Result<String> {
    let symbols = process::read(Command::new("objdump").arg("-T").arg(program))?;
    newest(&symbols).context("the program is not linked with the C library of GNU")
}

fn newest(symbols: &str) -> Option<String> {
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let number: String = rest
            .chars()
            .take_while(|it| it.is_ascii_digit() || *it == '.')
            .collect();
        let parts: Vec<u32> = number.split('.').filter_map(|it| it.parse().ok()).collect();
        (!parts.is_empty()).then_some((parts, number))
    });
    versions.max().map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_the_c_library_are_compared_as_numbers() {
        let symbols =
            "0000 DF *UND* 0000 (GLIBC_2.4) read\n0000 (GLIBC_2.34) x\n0000 (GLIBC_2.2.5) y\n";
        assert_eq!(newest(symbols).as_deref(), Some("2.34"));
        assert_eq!(newest("nothing"), None);
    }
}

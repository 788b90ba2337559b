//! `cargo xtask release-check`: all that has to be true before a version is released, and what only a person can do.
//!
//! Nothing is published or tagged by it. Every point is looked at, whatever the others say.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail, ensure};

use crate::workspace::Workspace;
use crate::{package, process, tidy};

/// Crates that are published, in the order of their dependencies.
const PUBLISHED: &[&str] = &["tidewire-proto", "tidewire"];

/// Points that no program can decide.
const BY_HAND: &[&str] = &[
    "`cargo xtask ci` has passed on this commit, with no step NOT CHECKED that matters for the release",
    "`cargo xtask advisories` has passed today",
    "the lines of the changelog say what users need to know, breaking changes first",
    "docs/benchmarks.md has figures of this version, measured on a machine without other load",
    "an installation of the last version was upgraded, with its store, and back",
    "git tag --sign --annotate vVERSION, and push it",
    "cargo publish --package NAME, in the order: tidewire-proto, tidewire",
    "npm publish in clients/js, if it has changed",
    "the packages, the bill of materials and their checksums (sha256sum) belong to the release's page",
    "the site is published from target/site/html",
    "the next version in Cargo.toml, and a new section `## Unreleased` in CHANGELOG.md",
];

/// Options of `cargo xtask release-check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Leave out what builds: the crates' archives and the package for Debian.
    #[arg(long)]
    quick: bool,
}

/// A point of the list.
struct Point {
    says: &'static str,
    check: fn(&Workspace, &str) -> anyhow::Result<()>,
    /// Takes minutes.
    builds: bool,
}

const POINTS: &[Point] = &[
    Point {
        says: "all manifests have the version",
        check: versions,
        builds: false,
    },
    Point {
        says: "the changelog has a section for the version",
        check: changelog,
        builds: false,
    },
    Point {
        says: "pages and schemas are generated, and the tree is tidy",
        check: |workspace, _| {
            ensure!(tidy::run(workspace)? == ExitCode::SUCCESS, "see above");
            Ok(())
        },
        builds: false,
    },
    Point {
        says: "nothing is uncommitted",
        check: clean,
        builds: false,
    },
    Point {
        says: "no tag has the version yet",
        check: tag,
        builds: false,
    },
    Point {
        says: "the image of the manifests has the version",
        check: image,
        builds: false,
    },
    Point {
        says: "the published crates build from their archives",
        check: archives,
        builds: true,
    },
    Point {
        says: "the package for Debian builds from the release binary, and its version is right",
        check: |workspace, version| package::check_version(workspace, version),
        builds: true,
    },
];

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<ExitCode> {
    let version = manifest_version(&workspace.root.join("Cargo.toml"))?;
    println!("release {version}\n");
    let mut failed = 0;
    let mut left_out = 0;
    for point in POINTS {
        if options.quick && point.builds {
            println!("[left out] {}", point.says);
            left_out += 1;
            continue;
        }
        match (point.check)(workspace, &version) {
            Ok(()) => println!("[ok]       {}", point.says),
            Err(error) => {
                println!("[FAILED]   {}: {error:#}", point.says);
                failed += 1;
            }
        }
    }
    println!("\nBy hand:");
    for line in BY_HAND {
        println!("[ ] {}", line.replace("VERSION", &version));
    }
    println!("\n{failed} failed, {left_out} left out");
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The version in `[workspace.package]`.
fn manifest_version(manifest: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(manifest).with_context(|| manifest.display().to_string())?;
    value(&text, "[workspace.package]", "version").with_context(|| {
        format!(
            "{} has no version in [workspace.package]",
            manifest.display()
        )
    })
}

/// The text of a key in a table of TOML.
fn value(text: &str, table: &str, key: &str) -> Option<String> {
    let (_, rest) = text.split_once(table)?;
    let start = format!("{key} = \"");
    let line = rest.lines().find_map(|line| line.strip_prefix(&start))?;
    Some(line.split('"').next()?.to_owned())
}

fn versions(workspace: &Workspace, version: &str) -> anyhow::Result<()> {
    let root = fs::read_to_string(workspace.root.join("Cargo.toml"))?;
    for line in root.lines().filter(|line| line.starts_with("tidewire")) {
        if let Some((name, rest)) = line.split_once(" = ")
            && let Some((_, stated)) = rest.split_once("version = \"")
        {
            let stated = stated.split('"').next().unwrap_or_default();
            ensure!(
                stated == version,
                "`{name}` is asked for in version {stated}"
            );
        }
    }
    let path = "clients/js/package.json";
    let text = fs::read_to_string(workspace.root.join(path)).context(path)?;
    let package: serde_json::Value = serde_json::from_str(&text).context(path)?;
    ensure!(
        package["version"] == version,
        "{path} has version {}",
        package["version"]
    );
    Ok(())
}

fn changelog(workspace: &Workspace, version: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(workspace.root.join("CHANGELOG.md"))?;
    let heading = format!("## {version}");
    let Some((before, _)) = text.split_once(&heading) else {
        bail!("CHANGELOG.md has no section `{heading}`");
    };
    let unreleased = before.split_once("## Unreleased").unwrap_or_default().1;
    ensure!(
        !unreleased.lines().any(|line| line.starts_with("- ")),
        "lines still stand under `## Unreleased`"
    );
    Ok(())
}

fn clean(workspace: &Workspace, _: &str) -> anyhow::Result<()> {
    let changed = git(workspace, &["status", "--porcelain"])?;
    ensure!(
        changed.trim().is_empty(),
        "{} files differ from the last commit",
        changed.lines().count()
    );
    Ok(())
}

fn tag(workspace: &Workspace, version: &str) -> anyhow::Result<()> {
    let tags = git(workspace, &["tag", "--list", &format!("v{version}")])?;
    ensure!(tags.trim().is_empty(), "v{version} is there already");
    Ok(())
}

fn image(workspace: &Workspace, version: &str) -> anyhow::Result<()> {
    let path = "packaging/kubernetes/tidewire.yaml";
    let text = fs::read_to_string(workspace.root.join(path)).context(path)?;
    let image = format!("image: tidewire:{version}");
    ensure!(text.contains(&image), "{path} has no line `{image}`");
    Ok(())
}

/// All at once, since the second one needs the first, which is not published.
fn archives(workspace: &Workspace, _: &str) -> anyhow::Result<()> {
    let mut command = process::cargo();
    command.args(["package", "--locked", "--allow-dirty"]);
    for name in PUBLISHED {
        command.args(["--package", name]);
    }
    process::run(command.current_dir(&workspace.root))
}

fn git(workspace: &Workspace, args: &[&str]) -> anyhow::Result<String> {
    process::read(Command::new("git").args(args).current_dir(&workspace.root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_its_table() {
        let text = "[package]\nversion = \"9.9.9\"\n\n[workspace.package]\nversion = \"1.2.3\"\n";
        let found = value(text, "[workspace.package]", "version");
        assert_eq!(found.as_deref(), Some("1.2.3"));
        assert_eq!(value(text, "[none]", "version"), None);
    }
}

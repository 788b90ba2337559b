//! `cargo xtask package`: what is handed to those who do not compile: a package for Debian and Ubuntu, the bill of
//! materials, the licences of what is linked, and the container's recipe.
//!
//! In: the release binary, `packaging/`, and what cargo knows of the dependencies. Out: files below `target/package`.

mod container; // Dockerfile, compose file, manifests of Kubernetes
mod crates; // what is linked into the program
mod deb; // the package for Debian
mod licences; // notices of third parties
mod sbom; // the bill of materials
mod trial; // the package, installed and removed

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;

use crate::outcome::Outcome;
use crate::workspace::Workspace;

/// The packages that can be made.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    kind: Kind,
    /// The program that is packed [default: target/release/tidewire].
    #[arg(long, value_name = "PATH", global = true)]
    program: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// A package for Debian and Ubuntu.
    Deb,
    /// The bill of materials (`CycloneDX`, JSON).
    Sbom,
    /// The licences of all crates that are linked into the program.
    Licences,
    /// Check the Dockerfile, the compose file and the manifests of Kubernetes.
    Container,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<ExitCode> {
    let path = match options.kind {
        Kind::Deb => deb::build(workspace, &program(workspace, options.program.as_ref())?)?,
        Kind::Sbom => sbom::write(workspace)?,
        Kind::Licences => licences::write(workspace)?,
        Kind::Container => {
            container::check(workspace, &program(workspace, options.program.as_ref())?)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    println!("{}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// The step of continuous integration: builds everything, installs the package in a copy of this machine, and removes it.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<Outcome> {
    let program = program(workspace, None)?;
    sbom::check(workspace, &sbom::write(workspace)?)?;
    let package = deb::build(workspace, &program)?;
    deb::lint(&package)?;
    container::check(workspace, &program)?;
    trial::run(workspace, &package)
}

/// The package builds, and says that it is of this version.
pub(crate) fn check_version(workspace: &Workspace, version: &str) -> anyhow::Result<()> {
    let package = deb::build(workspace, &program(workspace, None)?)?;
    let name = package.file_name().unwrap_or_default().to_string_lossy();
    ensure!(
        name.starts_with(&format!("tidewire_{version}-")),
        "{name} is of another version than {version}: was the release binary built?"
    );
    Ok(())
}

fn program(workspace: &Workspace, given: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    let program = given.map_or_else(
        || workspace.target_directory.join("release/tidewire"),
        PathBuf::clone,
    );
    ensure!(
        program.is_file(),
        "{} is missing, expected what `cargo build --release` makes",
        program.display()
    );
    Ok(program)
}

/// Where everything is put.
fn folder(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let folder = workspace.target_directory.join("package");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

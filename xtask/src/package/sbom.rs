//! The bill of materials: every crate in the program with version, licence, checksum and what it uses, in the form of
//! `CycloneDX` 1.5. All of it is what cargo knows already, so no further tool is compiled for it; another program checks
//! it against the published schema.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::crates::{self, Crate, PROGRAM};
use super::folder;
use crate::process;
use crate::workspace::Workspace;

/// Brings the schemas, and reads what we have written.
const CHECKER: &str = "cyclonedx-python-lib[json-validation]==11.12.0";

const CHECK: &str = "\
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read())
sys.exit(str(error) if error else 0)
";

pub(super) fn write(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let linked = crates::linked(workspace)?;
    let lock = fs::read_to_string(workspace.root.join("Cargo.lock")).context("Cargo.lock")?;
    let checksums = checksums(&lock);
    let root = linked.crates.iter().find(|one| one.name == PROGRAM);
    let root = root.context("the program is no crate of itself")?;
    let components: Vec<Value> = linked
        .crates
        .iter()
        .filter(|one| one.name != PROGRAM)
        .map(|one| component(one, "library", &checksums))
        .collect();
    let uses: Vec<Value> = linked
        .uses
        .iter()
        .map(|(of, names)| json!({"ref": of, "dependsOn": names}))
        .collect();
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(root, "application", &checksums)},
        "components": components,
        "dependencies": uses,
    });
    let path = folder(workspace)?.join("tidewire.cdx.json");
    let text = serde_json::to_string_pretty(&bill)?;
    fs::write(&path, text + "\n").with_context(|| path.display().to_string())?;
    println!("{}: {} crates", path.display(), components.len());
    Ok(path)
}

pub(super) fn check(workspace: &Workspace, bill: &Path) -> anyhow::Result<()> {
    let venv = workspace.target_directory.join("tools/python/cyclonedx");
    process::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let python = venv.join("bin/python");
    process::run(
        Command::new(&python)
            .args(["-m", "pip", "--disable-pip-version-check", "--quiet"])
            .args(["install", CHECKER]),
    )?;
    ensure!(
        Command::new(&python)
            .args(["-c", CHECK])
            .arg(bill)
            .status()?
            .success(),
        "{} does not keep to the schema of CycloneDX",
        bill.display()
    );
    Ok(())
}

fn component(of: &Crate, kind: &str, checksums: &BTreeMap<(String, String), String>) -> Value {
    let mut component = json!({
        "type": kind,
        "bom-ref": of.purl(),
        "name": of.name,
        "version": of.version,
        "purl": of.purl(),
        "licenses": [{"expression": of.expression()}],
    });
    if let Some(description) = &of.description {
        component["description"] = description.trim().replace('\n', " ").into();
    }
    if let Some(sum) = checksums.get(&(of.name.clone(), of.version.clone())) {
        component["hashes"] = json!([{"alg": "SHA-256", "content": sum}]);
    }
    component
}

/// The checksums that the lock file has, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    lock.split("[[package]]")
        .filter_map(|package| {
            let value = |name: &str| {
                let start = format!("{name} = \"");
                let line = package.lines().find_map(|line| line.strip_prefix(&start))?;
                Some(line.trim_end_matches('"').to_owned())
            };
            Some(((value("name")?, value("version")?), value("checksum")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_found_by_name_and_version() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"ff\"\n\n\
                    [[package]]\nname = \"own\"\nversion = \"0.1.0\"\n";
        let found = checksums(lock);
        assert_eq!(found.len(), 1);
        assert_eq!(found[&("a".to_owned(), "1.0.0".to_owned())], "ff");
    }
}

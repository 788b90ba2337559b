//! The libraries with every set of features that people choose: none, each alone, all. And
//! how many crates the plain WebSocket library brings along.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};

use crate::outcome::Outcome;
use crate::process;
use crate::workspace::{Package, Workspace};

/// The crates that are published for others to use.
const LIBRARIES: &[&str] = &["tidewire-proto", "tidewire"];

/// The most crates a library may bring along, itself included. A ratchet: a number goes down
/// when crates go; it goes up only with a reason. The goal without TLS is 20.
const BUDGETS: &[Budget] = &[
    Budget {
        library: "tidewire-proto",
        features: "",
        crates_max: 10,
    },
    Budget {
        library: "tidewire",
        features: "",
        // 23 with httpdate, which reads the dates in Retry-After; three more with rustix: the standard library cannot
        // look into a Unix socket without taking the bytes out of it.
        crates_max: 26,
    },
    Budget {
        library: "tidewire",
        features: "deflate",
        crates_max: 27,
    },
];

/// What a user pays for these features.
struct Budget {
    library: &'static str,
    features: &'static str,
    crates_max: usize,
}

pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Outcome> {
    for name in LIBRARIES {
        let library = workspace
            .packages
            .iter()
            .find(|package| package.name == *name)
            .with_context(|| format!("`{name}` is a member"))?;
        for set in sets(library) {
            clippy(workspace, name, &set)?;
        }
    }
    for budget in BUDGETS {
        check_budget(workspace, budget)?;
    }
    Ok(Outcome::Passed)
}

/// None, each alone, all; once each.
fn sets(library: &Package) -> BTreeSet<String> {
    let names = || library.features.keys().filter(|name| *name != "default");
    let all: Vec<&str> = names().map(String::as_str).collect();
    let mut sets: BTreeSet<String> = names().cloned().collect();
    sets.insert(String::new());
    sets.insert(all.join(","));
    sets
}

fn clippy(workspace: &Workspace, library: &str, features: &str) -> anyhow::Result<()> {
    process::run(
        process::cargo()
            .args(["clippy", "--package", library, "--all-targets", "--locked"])
            .args(["--no-default-features", "--features", features])
            .args(["--", "-D", "warnings"])
            .current_dir(&workspace.root),
    )
}

fn check_budget(workspace: &Workspace, budget: &Budget) -> anyhow::Result<()> {
    let tree = process::read(
        process::cargo()
            .args(["tree", "--package", budget.library, "--locked"])
            .args(["--no-default-features", "--features", budget.features])
            .args(["--edges", "normal,build", "--prefix", "none"])
            .args(["--format", "{p}"])
            .current_dir(&workspace.root),
    )?;
    let crates = crates_in(&tree);
    let count = crates.len();
    let most = budget.crates_max;
    let what = format!("{} with features [{}]", budget.library, budget.features);
    println!("{what} brings {count} crates, {most} are allowed");
    if count > most {
        for one in &crates {
            println!("  {one}");
        }
        bail!("{what} brings {count} crates, expected at most {most}");
    }
    if count < most {
        bail!("{what} brings only {count} crates: lower its number in xtask/src/ci/features.rs");
    }
    Ok(())
}

/// Name and version of every crate in the output of `cargo tree`.
fn crates_in(tree: &str) -> BTreeSet<String> {
    tree.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some(format!("{} {}", words.next()?, words.next()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_stands_alone_and_with_all_others() {
        let library = Package {
            name: "a".to_owned(),
            manifest_path: "Cargo.toml".into(),
            rust_version: None,
            dependencies: Vec::new(),
            features: ["default", "deflate", "tls"]
                .map(|name| (name.to_owned(), Vec::new()))
                .into(),
        };
        let sets: Vec<String> = sets(&library).into_iter().collect();
        assert_eq!(sets, ["", "deflate", "deflate,tls", "tls"]);
    }

    #[test]
    fn a_crate_counts_once_per_version() {
        let tree = "a v1.0.0\nb v1.0.0 (proc-macro)\na v1.0.0 (*)\na v2.0.0\n\n";
        let crates: Vec<String> = crates_in(tree).into_iter().collect();
        assert_eq!(crates, ["a v1.0.0", "a v2.0.0", "b v1.0.0"]);
    }
}

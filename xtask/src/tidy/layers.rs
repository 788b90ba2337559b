//! Dependencies between our crates only go down the layer list.

use super::Problem;
use super::tree::Tree;

/// Top first. A crate may use every lower layer, never its own.
const LAYERS: &[&[&str]] = &[
    &["tidewire-cli"],
    &[
        "tidewire-server",
        "tidewire-gateway",
        "tidewire-bench",
        "tidewire-fuzz",
    ],
    &["tidewire-dialect", "tidewire-notify"],
    &["tidewire-hub", "tidewire-config"],
    &["tidewire-access", "tidewire-telemetry"],
    &["tidewire-auth", "tidewire-engine", "tidewire"],
    &["tidewire-proto", "tidewire-table"],
];

/// Stands outside the layers: automation depends on no crate of ours.
const OUTSIDE: &str = "xtask";

/// Going down, but still not allowed, and why.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("tidewire-hub", "tidewire", "the hub knows no sockets"),
    ("tidewire-hub", "tidewire-proto", "the hub knows no wire"),
];

/// The only crates in which sockets and messaging meet, the one that tries the parsers of both, and the one that passes
/// events on, which knows no sockets of clients.
const JOINING: &[&str] = &[
    "tidewire-cli",
    "tidewire-server",
    "tidewire-notify",
    "tidewire-bench",
    "tidewire-fuzz",
];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in &tree.packages {
        let from = package.name.as_str();
        if from != OUTSIDE && level(from).is_none() {
            problems.push(Problem::of_file(
                &package.manifest,
                format!("crate `{from}` has no layer, expected it in the list of tidy/layers.rs"),
            ));
            continue;
        }
        for to in &package.dependencies {
            // A crate's own tests may ask for its own features.
            if to == from {
                continue;
            }
            // A name that is no member of ours is an external crate.
            if tree.packages.iter().all(|member| member.name != *to) {
                continue;
            }
            let joins = to == "tidewire-hub"
                && package.dependencies.iter().any(|other| other == "tidewire")
                && !JOINING.contains(&from);
            let why = if joins {
                Some("only server, cli and bench join the toolkit with the hub")
            } else {
                objection(from, to)
            };
            if let Some(why) = why {
                let message = format!("`{from}` depends on `{to}`, expected not: {why}");
                problems.push(Problem::at(
                    &package.manifest,
                    line_of(tree, &package.manifest, to),
                    message,
                ));
            }
        }
    }
    problems
}

/// Why `from` may not depend on `to`, if it may not.
fn objection(from: &str, to: &str) -> Option<&'static str> {
    let (Some(from_level), Some(to_level)) = (level(from), level(to)) else {
        return Some("automation and crates do not depend on each other");
    };
    if to_level <= from_level {
        return Some("dependencies only go down the layers");
    }
    FORBIDDEN
        .iter()
        .find(|(a, b, _)| (*a, *b) == (from, to))
        .map(|(_, _, why)| *why)
}

fn level(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

fn line_of(tree: &Tree, manifest: &str, dependency: &str) -> usize {
    let text = tree.files.get(manifest).map_or("", String::as_str);
    text.lines()
        .position(|line| {
            line.strip_prefix(dependency)
                .is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::tree::Package;
    use super::*;

    /// The messages for these crates, each with its dependencies.
    fn check_edges(edges: &[(&str, &[&str])]) -> Vec<String> {
        let packages = edges
            .iter()
            .map(|(name, dependencies)| Package {
                name: (*name).to_owned(),
                manifest: format!("{name}/Cargo.toml"),
                dependencies: dependencies.iter().map(|&d| d.to_owned()).collect(),
            })
            .collect();
        let tree = Tree {
            packages,
            ..Tree::default()
        };
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn edges_down_the_layers_are_fine() {
        let found = check_edges(&[
            ("tidewire-server", &["tidewire-hub", "tidewire", "serde"]),
            ("tidewire-dialect", &["tidewire-hub"]),
            ("tidewire-hub", &["tidewire-engine", "tidewire-table"]),
            ("tidewire-engine", &["tidewire-table"]),
            ("tidewire-table", &[]),
            ("tidewire", &["tidewire-proto"]),
            ("tidewire-proto", &[]),
            ("xtask", &["serde"]),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn edges_up_sideways_and_across_are_reported() {
        for (from, to) in [
            ("tidewire-proto", "tidewire"),
            ("tidewire", "tidewire-engine"),
            ("tidewire-server", "tidewire-gateway"),
            ("tidewire-hub", "tidewire"),
            ("tidewire-hub", "tidewire-proto"),
            ("tidewire-hub", "tidewire-dialect"),
            ("tidewire-auth", "tidewire-hub"),
            ("xtask", "tidewire"),
        ] {
            let found = check_edges(&[(from, &[to]), (to, &[])]);
            assert_eq!(found.len(), 1, "{from} -> {to}: {found:?}");
            assert!(found[0].contains(&format!("`{from}` depends on `{to}`")));
        }
    }

    #[test]
    fn few_crates_join_toolkit_and_hub() {
        let both: &[&str] = &["tidewire", "tidewire-hub"];
        for (from, count) in [
            ("tidewire-bench", 0),
            ("tidewire-notify", 0),
            ("tidewire-dialect", 1),
        ] {
            let found = check_edges(&[(from, both), ("tidewire", &[]), ("tidewire-hub", &[])]);
            assert_eq!(found.len(), count, "{from}: {found:?}");
        }
    }

    #[test]
    fn a_crate_without_a_layer_is_reported() {
        let found = check_edges(&[("tidewire-new", &[])]);
        assert_eq!(found.len(), 1, "{found:?}");
    }
}

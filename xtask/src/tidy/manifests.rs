//! Every member inherits the workspace's lints.

use super::Problem;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    tree.packages
        .iter()
        .filter(|package| {
            let text = tree.files.get(&package.manifest);
            !text.is_some_and(|text| inherits_lints(text))
        })
        .map(|package| {
            Problem::of_file(
                &package.manifest,
                "the workspace's lints are not inherited, expected `[lints]` with `workspace = true`",
            )
        })
        .collect()
}

fn inherits_lints(manifest: &str) -> bool {
    let mut in_lints = false;
    for line in manifest.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let line: String = line.split_whitespace().collect();
        if line.starts_with('[') {
            in_lints = line == "[lints]";
        }
        if (in_lints && line == "workspace=true") || line == "lints.workspace=true" {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lints_table_counts() {
        assert!(inherits_lints("[lints]\nworkspace = true # all of them\n"));
        assert!(!inherits_lints(
            "[lints]\n[dependencies.serde]\nworkspace = true\n"
        ));
        assert!(!inherits_lints("[package]\nname = \"a\"\n"));
        assert!(!inherits_lints("[lints]\n# workspace = true\n"));
    }
}

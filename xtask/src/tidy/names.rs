//! No file or folder is named after nothing in particular.

use super::Problem;
use super::tree::Tree;

const BANNED: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    tree.with_extension(&["rs"])
        .filter_map(|(path, _)| {
            let name = path
                .trim_end_matches(".rs")
                .split('/')
                .find(|part| BANNED.contains(part))?;
            let message =
                format!("`{name}` says nothing, expected the name of the one thing it does");
            Some(Problem::of_file(path, message))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawers_for_anything_are_reported() {
        let tree = Tree::of(&[
            ("crates/a/src/utils.rs", ""),
            ("crates/a/src/common/mod.rs", ""),
            ("crates/a/src/commonmark.rs", ""),
        ]);
        let paths: Vec<String> = check(&tree).into_iter().map(|p| p.path).collect();
        assert_eq!(
            paths,
            ["crates/a/src/common/mod.rs", "crates/a/src/utils.rs"]
        );
    }
}

//! Every source file says in its first line what it is for.

use super::Problem;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    tree.with_extension(&["rs"])
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| {
            Problem::of_file(
                path,
                "no purpose given, expected a `//!` line at the top of the file",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_module_doc() {
        let tree = Tree::of(&[
            ("a.rs", "//! Reads frames.\n"),
            ("b.rs", "use std::fmt;\n//! late\n"),
            ("c.rs", ""),
            ("d.md", "no source"),
        ]);
        let paths: Vec<String> = check(&tree).into_iter().map(|p| p.path).collect();
        assert_eq!(paths, ["b.rs", "c.rs"]);
    }
}

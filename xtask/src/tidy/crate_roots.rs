//! Every crate root forbids unsafe code, whatever the lint tables say.

use super::Problem;
use super::tree::Tree;

const FORBID: &str = "#![forbid(unsafe_code)]";

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in &tree.packages {
        let folder = package.manifest.trim_end_matches("Cargo.toml");
        for root in ["src/lib.rs", "src/main.rs"] {
            let path = format!("{folder}{root}");
            if let Some(text) = tree.files.get(&path)
                && !text.lines().any(|line| line == FORBID)
            {
                let message = format!("unsafe code is not forbidden, expected `{FORBID}`");
                problems.push(Problem::of_file(&path, message));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::tree::Package;
    use super::*;

    fn check_root(text: &str) -> usize {
        let mut tree = Tree::of(&[("crates/a/src/lib.rs", text)]);
        tree.packages.push(Package {
            name: "a".to_owned(),
            manifest: "crates/a/Cargo.toml".to_owned(),
            dependencies: Vec::new(),
        });
        check(&tree).len()
    }

    #[test]
    fn the_attribute_must_stand_in_the_root() {
        assert_eq!(check_root("//! a\n#![forbid(unsafe_code)]\n"), 0);
        assert_eq!(check_root("//! a\n// #![forbid(unsafe_code)]\n"), 1);
        assert_eq!(check_root("//! a\n"), 1);
    }
}

//! ARCHITECTURE.md names every crate folder.

use super::Problem;
use super::tree::Tree;

const DOCUMENT: &str = "ARCHITECTURE.md";

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let Some(text) = tree.files.get(DOCUMENT) else {
        let message = "the file is missing, expected a map of the crates";
        return vec![Problem::of_file(DOCUMENT, message)];
    };
    tree.folders
        .iter()
        .filter_map(|folder| folder.strip_prefix("crates/"))
        .filter(|name| !name.contains('/') && !names(text, name))
        .map(|name| {
            let message = format!("`crates/{name}` is not named, expected a paragraph about it");
            Problem::of_file(DOCUMENT, message)
        })
        .collect()
}

/// Whether the text holds `crates/name` as a whole.
fn names(text: &str, name: &str) -> bool {
    text.split(&format!("crates/{name}"))
        .skip(1)
        .any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_is_not_named_is_reported() {
        let tree = Tree::of(&[
            (
                "ARCHITECTURE.md",
                "`crates/proto` is the core, crates/hubs/ not.\n",
            ),
            ("crates/proto/src/lib.rs", ""),
            ("crates/hub/src/lib.rs", ""),
        ]);
        let messages: Vec<String> = check(&tree).into_iter().map(|p| p.message).collect();
        assert_eq!(
            messages,
            ["`crates/hub` is not named, expected a paragraph about it"]
        );
    }

    #[test]
    fn the_document_must_exist() {
        assert_eq!(check(&Tree::of(&[])).len(), 1);
    }
}

//! ARCHITECTURE.md names every crate folder, and every path it names in back quotes exists.
//!
//! A path may begin at the root, below `crates/`, with a crate whose `src/` is left out (`hub/session` is
//! `crates/hub/src/session.rs`), or inside the sources or tests of any crate (`ws/server`, `lib.rs`).

use super::Problem;
use super::tree::{Tree, extension};

const DOCUMENT: &str = "ARCHITECTURE.md";

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let Some(text) = tree.files.get(DOCUMENT) else {
        let message = "the file is missing, expected a map of the crates";
        return vec![Problem::of_file(DOCUMENT, message)];
    };
    let mut problems: Vec<Problem> = tree
        .folders
        .iter()
        .filter_map(|folder| folder.strip_prefix("crates/"))
        .filter(|name| !name.contains('/') && !names(text, name))
        .map(|name| {
            let message = format!("`crates/{name}` is not named, expected a paragraph about it");
            Problem::of_file(DOCUMENT, message)
        })
        .collect();
    for (index, line) in text.lines().enumerate() {
        for path in quoted_paths(line).filter(|path| !exists(tree, path)) {
            let message = format!("`{path}`, expected an existing file or folder");
            problems.push(Problem::at(DOCUMENT, index, message));
        }
    }
    problems
}

/// Whether the text holds `crates/name` as a whole.
fn names(text: &str, name: &str) -> bool {
    text.split(&format!("crates/{name}"))
        .skip(1)
        .any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_'))
}

/// What stands between back quotes and looks like a path.
fn quoted_paths(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|quoted| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
        (quoted.contains('/') || extension(quoted) == "rs")
            && quoted.starts_with(|c: char| c.is_ascii_alphanumeric())
            && quoted.chars().all(is_plain)
    })
}

fn exists(tree: &Tree, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let inside = path
        .split_once('/')
        .map_or_else(String::new, |(name, rest)| {
            format!("crates/{name}/src/{rest}")
        });
    [path, &format!("crates/{path}"), &inside]
        .into_iter()
        .any(|candidate| is_there(tree, candidate))
        || ends_with(tree, path)
}

/// Whether it is a file, a module or a folder.
fn is_there(tree: &Tree, path: &str) -> bool {
    tree.files.contains_key(path)
        || tree.files.contains_key(&format!("{path}.rs"))
        || tree.folders.contains(path)
}

/// Whether a file, module or folder somewhere below `crates/` ends with it.
fn ends_with(tree: &Tree, path: &str) -> bool {
    let tail = format!("/{path}");
    let module = format!("{tail}.rs");
    let files = tree.files.keys().any(|file| {
        file.starts_with("crates/") && (file.ends_with(&tail) || file.ends_with(&module))
    });
    let is_below = |folder: &String| folder.starts_with("crates/") && folder.ends_with(&tail);
    files || tree.folders.iter().any(is_below)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_document(text: &str) -> Vec<String> {
        let tree = Tree::of(&[
            (DOCUMENT, text),
            ("crates/hub/src/lib.rs", ""),
            ("crates/hub/src/body/mod.rs", ""),
            ("crates/hub/src/body/older.rs", ""),
            ("web/chat/index.html", ""),
        ]);
        check(&tree).into_iter().map(|p| p.message).collect()
    }

    #[test]
    fn a_crate_that_is_not_named_is_reported() {
        assert_eq!(
            check_document("crates/hubs is something else\n"),
            ["`crates/hub` is not named, expected a paragraph about it"]
        );
    }

    #[test]
    fn the_document_must_exist() {
        assert_eq!(check(&Tree::of(&[])).len(), 1);
    }

    #[test]
    fn paths_of_all_forms_are_found() {
        let text = "`crates/hub`, `hub/body`, `body/older.rs`, `body/mod.rs`, `body/`, `lib.rs`, `web/chat`, \
             and no paths: `/status`, `a/b c`, `Type::name`, `..`\n";
        assert_eq!(check_document(text), Vec::<String>::new());
    }

    #[test]
    fn a_path_that_is_gone_is_reported() {
        for path in [
            "hub/gone",
            "gone.rs",
            "crates/hub/src/gone.rs",
            "older/body",
        ] {
            let found = check_document(&format!("crates/hub\nsee `{path}`\n"));
            assert_eq!(
                found,
                [format!("`{path}`, expected an existing file or folder")]
            );
        }
    }
}

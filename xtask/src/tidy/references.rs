//! Ids of features are listed in `docs/parity.md`, whose proofs exist; lists that stand nowhere in the project are not cited.
//!
//! An id is a letter of one of the five earlier systems, a hyphen and a number. Names of tests say what the code
//! does; an id may stand in the doc comment.

use std::collections::BTreeSet;

use super::Problem;
use super::tree::{Tree, extension, file_name};

const DOCUMENT: &str = "docs/parity.md";

/// The systems, by their letters.
const SYSTEMS: &[&str] = &["C", "M", "R", "S", "W"];

/// Words that cite an entry of a list when a number follows.
const LISTS: &[&str] = &["defect", "threat"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let listed: BTreeSet<&str> = tree
        .files
        .get(DOCUMENT)
        .map_or("", String::as_str)
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next())
        .collect();
    let mut problems = Vec::new();
    for (path, text) in tree.with_extension(&["rs", "md", "toml", "py", "js", "mjs", "ts"]) {
        if path == DOCUMENT {
            problems.extend(missing_proofs(tree, text));
            continue;
        }
        let is_rust = extension(path) == "rs";
        if is_rust && is_numbered(file_name(path)) {
            let message = "a file named after an entry of a list, expected its subject";
            problems.push(Problem::of_file(path, message));
        }
        for (index, line) in text.lines().enumerate() {
            for id in ids(line).filter(|id| !listed.contains(id)) {
                let message = format!("`{id}`, expected an id that {DOCUMENT} lists");
                problems.push(Problem::at(path, index, message));
            }
            if let Some(word) = cited_list(line).filter(|_| !is_rust || function(line).is_none()) {
                let message = format!("`{word}` and a number, expected plain words");
                problems.push(Problem::at(path, index, message));
            }
            if is_rust && function(line).is_some_and(is_numbered) {
                let message = "a test named after an entry of a list, expected what it proves";
                problems.push(Problem::at(path, index, message));
            }
        }
    }
    problems
}

/// Paths between back quotes that do not exist.
fn missing_proofs(tree: &Tree, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for path in line.split('`').skip(1).step_by(2) {
            let is_path = path.contains('/') && !path.contains([' ', ':']);
            if is_path && !tree.files.contains_key(path) && !tree.folders.contains(path) {
                let message = format!("`{path}`, expected an existing file or folder");
                problems.push(Problem::at(DOCUMENT, index, message));
            }
        }
    }
    problems
}

/// Words that look like `S-21`.
fn ids(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_')
        .filter(|word| {
            word.split_once('-').is_some_and(|(system, number)| {
                SYSTEMS.contains(&system) && (1..=3).contains(&number.len()) && is_number(number)
            })
        })
}

/// The word that cites a list.
fn cited_list(line: &str) -> Option<&str> {
    let words: Vec<&str> = line
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    words
        .windows(2)
        .find(|pair| {
            let word = pair[0].to_ascii_lowercase();
            LISTS.contains(&word.trim_end_matches('s')) && is_number(pair[1])
        })
        .map(|pair| pair[0])
}

/// The name of the function that begins in this line.
fn function(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("fn ")?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    rest.get(..end)
}

/// Whether a name begins with an entry of a list: `s02_…`, `m_05_…`, `item_3.rs`.
fn is_numbered(name: &str) -> bool {
    let mut parts = name.trim_end_matches(".rs").split('_');
    let first = parts.next().unwrap_or_default();
    let list = first.trim_end_matches(|c: char| c.is_ascii_digit());
    let has_number = first.len() > list.len();
    // `h2`, `sha1_…` and `utf8_…` are words of the field.
    match list {
        "threat" | "defect" | "item" => has_number || parts.next().is_some_and(is_number),
        "a" | "c" | "d" | "e" | "f" | "h" | "m" | "r" | "s" | "w" => {
            let next = parts.next();
            (has_number && next.is_some()) || (!has_number && next.is_some_and(is_number))
        }
        _ => false,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_source(path: &str, text: &str) -> Vec<String> {
        let list = "# Parity\n\n| id | feature |\n|---|---|\n| S-21 | a form |\n";
        let tree = Tree::of(&[(DOCUMENT, list), (path, text)]);
        check(&tree).into_iter().map(|p| p.message).collect()
    }

    #[test]
    fn an_id_must_be_listed() {
        for text in ["/// S-21.", "(S-21), SHA-1, A-2, S-1234, US-21, S-21a"] {
            assert_eq!(check_source("a.rs", text), Vec::<String>::new(), "{text}");
        }
        for text in ["/// S-22.", "see M-21 …"] {
            assert_eq!(check_source("a.rs", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_proof_must_exist() {
        let list = "| S-21 | `ws://a/b` | `a/there.rs`, `a` |\n| S-21 | `b/c d` | `a/gone.rs` |\n";
        let tree = Tree::of(&[(DOCUMENT, list), ("a/there.rs", "")]);
        let found: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            ["docs/parity.md:2: `a/gone.rs`, expected an existing file or folder"]
        );
    }

    #[test]
    fn lists_that_stand_elsewhere_are_not_cited() {
        for text in [
            concat!("// thr", "eat 16"),
            concat!("(def", "ect 2.4-4)"),
            concat!("Thr", "eats 3 and 4"),
        ] {
            assert_eq!(check_source("a.rs", text).len(), 1, "{text}");
        }
        for text in ["threats of 16 kinds", "defects are mended", "promise 5"] {
            assert_eq!(check_source("a.rs", text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn tests_and_files_are_named_by_behaviour() {
        for name in [
            "s02_the_first",
            "m_05_a_file",
            concat!("thr", "eat_16_a"),
            "h5_x",
            "a6_b",
        ] {
            let text = format!("    fn {name}() {{");
            assert_eq!(check_source("a.rs", &text).len(), 1, "{name}");
        }
        for name in [
            "sha1_block",
            "utf8_is_checked",
            "http2_fields",
            "a_user",
            "h2",
        ] {
            let text = format!("    fn {name}() {{");
            assert_eq!(check_source("a.rs", &text), Vec::<String>::new(), "{name}");
        }
        assert_eq!(check_source("tests/h4_x.rs", "").len(), 1);
        assert_eq!(check_source("tests/http2.rs", "").len(), 0);
    }
}

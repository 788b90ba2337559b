//! What is generated from the keys of the configuration was generated after the last change of a key.
//!
//! Only compiled code knows the keys, so a page carries a digest of the text that declares them, and tests compare the
//! rest. `cargo xtask generate` writes both.

use std::fs;

use anyhow::Context as _;

use super::Problem;
use super::tree::Tree;
use crate::workspace::Workspace;

/// A generated page, and where the keys it lists are declared.
pub(crate) struct Page {
    pub(crate) path: &'static str,
    sources: &'static [&'static str],
}

pub(crate) const PAGES: &[Page] = &[
    Page {
        path: "docs/configuration.md",
        sources: &[
            "crates/config/src/",
            "crates/engine/src/",
            "crates/hub/src/",
            "crates/server/src/",
        ],
    },
    Page {
        path: "docs/gateway/configuration.md",
        sources: &["crates/config/src/", "crates/gateway/src/"],
    },
];

/// Stands in the line above the generated part, before the digest.
const MARKER: &str = "<!-- Generated from here on by `cargo xtask generate`, from the keys ";

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for page in PAGES {
        let digest = digest(page, tree.with_extension(&["rs"]));
        let text = tree.files.get(page.path).map_or("", String::as_str);
        let is_fresh = text.lines().any(|line| {
            line.strip_prefix(MARKER)
                .is_some_and(|rest| rest.starts_with(&digest))
        });
        if !is_fresh {
            let message =
                "older than the keys it lists, expected what `cargo xtask generate` writes";
            problems.push(Problem::of_file(page.path, message));
        }
    }
    problems
}

/// Puts `digest` behind `marker` in the page at `path`.
pub(super) fn put_digest(workspace: &Workspace, path: &str, digest: &str) -> anyhow::Result<()> {
    let file = workspace.root.join(path);
    let page = fs::read_to_string(&file).with_context(|| format!("cannot read {path}"))?;
    let (before, after) = page
        .split_once(MARKER)
        .with_context(|| format!("{path} has no line that begins with `{MARKER}`"))?;
    let (_, generated) = after.split_once('\n').unwrap_or_default();
    let page = format!("{before}{MARKER}{digest}. -->\n{generated}");
    fs::write(&file, page).with_context(|| format!("cannot write {path}"))
}

/// A digest of all declarations of keys in these files, which are sorted by path.
pub(crate) fn digest<'a>(page: &Page, files: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    // FNV-1a: a digest that no release of the standard library changes.
    let mut digest: u64 = 0xcbf2_9ce4_8422_2325;
    for (_, text) in
        files.filter(|(path, _)| page.sources.iter().any(|source| path.starts_with(source)))
    {
        let mut is_declaration = false;
        for line in text.lines() {
            is_declaration |= matches!(line, "table! {" | "choice! {");
            if is_declaration {
                for byte in line.bytes() {
                    digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                }
            }
            is_declaration &= line != "}";
        }
    }
    format!("{digest:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str, page: &str) -> usize {
        let mut tree = Tree::default();
        for (path, text) in [("crates/hub/src/config.rs", source), (PAGES[0].path, page)] {
            tree.files.insert(path.to_owned(), text.to_owned());
        }
        let problems = check(&tree);
        let of_page = problems.iter().filter(|one| one.path == PAGES[0].path);
        of_page.count()
    }

    #[test]
    fn a_page_older_than_a_key_is_reported() {
        let keys = "table! {\n    a: u32 = 1;\n}\n";
        let files = [("crates/hub/src/config.rs", keys)];
        let page = format!("{MARKER}{}. -->\n", digest(&PAGES[0], files.into_iter()));
        assert_eq!(found(keys, &page), 0);
        assert_eq!(found(&format!("use x;\n{keys}fn more() {{}}\n"), &page), 0);
        assert_eq!(found(&keys.replace('1', "2"), &page), 1);
        assert_eq!(found(keys, "no marker"), 1);
    }
}

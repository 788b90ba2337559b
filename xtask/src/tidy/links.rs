//! Every relative link in a document points to something that exists.

use super::Problem;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.with_extension(&["md"]) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut in_code = false;
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            if in_code {
                continue;
            }
            for target in targets(line) {
                if !exists(tree, folder, target) {
                    let message = format!("link to `{target}`, expected an existing file");
                    problems.push(Problem::at(path, index, message));
                }
            }
        }
    }
    problems
}

/// The relative targets of `[text](target)` and `[label]: target`, without `#anchor`.
fn targets(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    // Odd parts stand between back quotes: they are shown, not followed. A link whose
    // text is code is cut before its `](`, which is then in an even part.
    for part in line.split('`').step_by(2) {
        for rest in part.split("](").skip(1) {
            found.push(rest.split([')', ' ']).next().unwrap_or_default());
        }
    }
    if let Some((label, target)) = line.split_once("]: ")
        && label.starts_with('[')
    {
        found.push(target.split(' ').next().unwrap_or_default());
    }
    found
        .into_iter()
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains(':'))
        .collect()
}

/// Whether the target, seen from the folder, is a file or folder of the tree.
fn exists(tree: &Tree, folder: &str, target: &str) -> bool {
    let mut parts: Vec<&str> = Vec::new();
    let from_root = target.starts_with('/');
    let base = if from_root { "" } else { folder };
    for part in base.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return false;
                }
            }
            name => parts.push(name),
        }
    }
    let path = parts.join("/");
    path.is_empty() || tree.files.contains_key(&path) || tree.folders.contains(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_document(text: &str) -> Vec<usize> {
        let tree = Tree::of(&[("docs/a.md", text), ("README.md", ""), ("docs/b/c.md", "")]);
        check(&tree).iter().map(|p| p.line).collect()
    }

    #[test]
    fn existing_targets_are_fine() {
        for line in [
            "[b](b/c.md), [readme](../README.md#top) and [folder](b/)",
            "[web](https://example.com/x) [mail](mailto:a@example.com) [here](#part)",
            "[c]: b/c.md",
            "[`c`](b/c.md)",
            "`[not](a-link.md)`",
        ] {
            assert_eq!(check_document(line), Vec::<usize>::new(), "{line}");
        }
    }

    #[test]
    fn missing_targets_are_reported_with_their_line() {
        assert_eq!(check_document("ok\n[x](missing.md)\n"), [2]);
        assert_eq!(check_document("[x]: ../missing.md\n"), [1]);
        assert_eq!(check_document("[`x`](missing.md)\n"), [1]);
        assert_eq!(check_document("[x](../../README.md)\n"), [1]);
    }

    #[test]
    fn code_blocks_are_not_followed() {
        assert_eq!(
            check_document("```\n[x](missing.md)\n```\n[y](gone.md)\n"),
            [4]
        );
    }
}

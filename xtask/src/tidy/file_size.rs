//! Files stay under [`LINES_MAX`] lines of code. What is longer stands in
//! `xtask/tidy-ratchet.txt` with its size, and may only get shorter.

use std::collections::BTreeMap;

use super::Problem;
use super::tree::{Tree, is_test_file};

/// Lines of code: neither empty, nor comment, nor test.
const LINES_MAX: usize = 400;

const RATCHET: &str = "xtask/tidy-ratchet.txt";

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut allowed = BTreeMap::new();
    let ratchet = tree.files.get(RATCHET).map_or("", String::as_str);
    for (index, line) in ratchet.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line
            .split_once(' ')
            .map(|(path, size)| (path, size.parse::<usize>()))
        {
            Some((path, Ok(size))) if tree.files.contains_key(path) => {
                allowed.insert(path, (index, size));
            }
            _ => problems.push(Problem::at(
                RATCHET,
                index,
                format!("`{line}`, expected `path lines` of an existing file"),
            )),
        }
    }
    for (path, text) in tree.with_extension(&["rs"]) {
        if is_test_file(path) {
            continue;
        }
        let lines = code_lines(text);
        match allowed.get(path) {
            None if lines > LINES_MAX => problems.push(Problem::of_file(
                path,
                format!("{lines} lines of code, expected at most {LINES_MAX}: look for the seam"),
            )),
            Some((_, size)) if lines > *size => problems.push(Problem::of_file(
                path,
                format!("grew to {lines} lines of code, expected at most {size} ({RATCHET})"),
            )),
            Some((index, _)) if lines <= LINES_MAX => problems.push(Problem::at(
                RATCHET,
                *index,
                format!("{path} is short enough now, expected its line removed"),
            )),
            Some((index, size)) if lines < *size => problems.push(Problem::at(
                RATCHET,
                *index,
                format!("{path} shrank, expected {lines} here"),
            )),
            None | Some(_) => {}
        }
    }
    problems
}

/// Counts the code of a rustfmt-formatted file, outside of `#[cfg(test)]` modules.
fn code_lines(text: &str) -> usize {
    let mut count = 0;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let code = line.trim();
        if line == "#[cfg(test)]" {
            // Formatted code ends a block that starts at the margin with a brace there.
            if lines.next().is_some_and(|item| item.ends_with('{')) {
                for inner in lines.by_ref() {
                    if inner == "}" {
                        break;
                    }
                }
            }
        } else if !code.is_empty() && !code.starts_with("//") {
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(lines: usize) -> String {
        format!("//! a\n{}", "fn a() {}\n".repeat(lines))
    }

    fn check_source(lines: usize, ratchet: &str) -> Vec<String> {
        let tree = Tree::of(&[("a.rs", &source(lines)), (RATCHET, ratchet)]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn comments_blank_lines_and_tests_are_no_code() {
        let text = "//! doc\n\nfn a() {\n    // why\n}\n#[cfg(test)]\nmod tests {\n    fn t() {}\n}\nfn b() {}\n";
        assert_eq!(code_lines(text), 3);
        assert_eq!(code_lines("#[cfg(test)]\nmod tests;\nfn b() {}\n"), 1);
    }

    #[test]
    fn a_long_file_needs_its_line_in_the_ratchet() {
        assert_eq!(check_source(400, "# none\n").len(), 0);
        assert_eq!(check_source(401, "").len(), 1);
        assert_eq!(check_source(401, "a.rs 401\n").len(), 0);
    }

    #[test]
    fn the_ratchet_only_goes_down() {
        assert!(check_source(450, "a.rs 420\n")[0].contains("grew to 450"));
        assert!(check_source(410, "a.rs 420\n")[0].contains("shrank, expected 410"));
        assert!(check_source(300, "a.rs 420\n")[0].contains("expected its line removed"));
        assert!(check_source(300, "b.rs 420\n")[0].contains("existing file"));
    }

    #[test]
    fn test_files_may_be_long() {
        let tree = Tree::of(&[
            ("crates/a/tests/it.rs", &source(500)),
            ("a/tests.rs", &source(500)),
        ]);
        assert_eq!(check(&tree), []);
    }
}

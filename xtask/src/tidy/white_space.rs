//! No trailing white space, no tabs, and a line feed at the end.

use super::Problem;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.with_extension(&["rs", "md", "toml"]) {
        for (index, line) in text.split('\n').enumerate() {
            if line.ends_with(char::is_whitespace) {
                let message = "white space at the end of the line, expected none";
                problems.push(Problem::at(path, index, message));
            }
            if line.contains('\t') {
                problems.push(Problem::at(path, index, "a tab, expected spaces"));
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            let message = "the last line is cut, expected a line feed";
            problems.push(Problem::at(path, text.lines().count() - 1, message));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_reported_with_its_line() {
        let tree = Tree::of(&[
            ("good.rs", "fn a() {}\n"),
            ("bad.md", "one \n\ttwo\nthree"),
            ("free.html", "\t<p> \n"),
        ]);
        let lines: Vec<usize> = check(&tree).iter().map(|p| p.line).collect();
        assert_eq!(lines, [1, 2, 3]);
    }
}

//! No reminders in the sources: what is to be done is an issue, not a comment.

use super::Problem;
use super::tree::Tree;

// Written in two parts so that this file does not report itself.
const WORDS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.with_extension(&[
        "rs", "toml", "py", "js", "mjs", "ts", "html", "css", "sh", "yml", "yaml",
    ]) {
        for (index, line) in text.lines().enumerate() {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            if let Some(word) = words.find(|word| WORDS.contains(word)) {
                let message = format!("`{word}`, expected an issue or the work done");
                problems.push(Problem::at(path, index, message));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_in_sources_count() {
        let todo = WORDS[0];
        let tree = Tree::of(&[
            ("a.rs", &format!("//! a\n// {todo}: later\n")),
            (
                "b.rs",
                &format!("//! {todo}S are fine, so is {todo}_LIST\n"),
            ),
            ("c.md", todo),
        ]);
        let found: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [format!(
                "a.rs:2: `{todo}`, expected an issue or the work done"
            )]
        );
    }
}

//! Types and modules are named by words of the field, and documentation is made of sentences.
//!
//! Words in [`BANNED`] are metaphors that say nothing to a newcomer; tests may use them. Doc comments that begin with "Whether" or
//! "What" have no subject, and a lock that is freed from poison by hand belongs into a module `sync`, or is one of `parking_lot`;
//! how many of each there are stands in `xtask/tidy-words.txt`, and may only fall.

use super::Problem;
use super::tree::{Tree, is_test_file};

/// In the form of a type; as a module the word is written small.
const BANNED: &[&str] = &[
    "Bell", "Desk", "Door", "Half", "Intake", "Lane", "Later", "Manner", "News", "Told", "Weather",
];

const RATCHET: &str = "xtask/tidy-words.txt";

/// Decides whether a line counts.
type Counts = fn(&str) -> bool;

/// Names in the ratchet, and which lines they count.
const COUNTED: &[(&str, Counts)] = &[
    ("what-or-whether", begins_without_subject),
    ("poison-by-hand", |line| {
        line.contains("PoisonError::into_inner")
    }),
];

/// A count may be so much below the number in the ratchet until the number has to follow.
const SLACK: usize = 20;

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut counts = vec![0; COUNTED.len()];
    for (path, text) in tree.with_extension(&["rs"]) {
        for (index, line) in text.lines().enumerate() {
            if let Some(word) = declared(line).filter(|word| is_banned(word) && !is_test_file(path))
            {
                let message = format!("`{word}`, expected a word of the field");
                problems.push(Problem::at(path, index, message));
            }
            for (count, (_, counts)) in counts.iter_mut().zip(COUNTED) {
                *count += usize::from(counts(line) && !path.starts_with("xtask/src/tidy/"));
            }
        }
    }
    let ratchet = tree.files.get(RATCHET).map_or("", String::as_str);
    for (count, (name, _)) in counts.into_iter().zip(COUNTED) {
        let entry = ratchet.lines().enumerate().find_map(|(index, line)| {
            let number = line.strip_prefix(name)?.strip_prefix(' ')?;
            Some((index, number.parse::<usize>().ok()?))
        });
        let (index, most) = entry.unwrap_or_default();
        if count > most {
            let message = format!("{name}: {count} lines, expected at most {most}");
            problems.push(Problem::at(RATCHET, index, message));
        } else if count + SLACK < most {
            let message = format!("{name}: {count} lines are left, expected that number here");
            problems.push(Problem::at(RATCHET, index, message));
        }
    }
    problems
}

/// The type or module that a line declares.
fn declared(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().peekable();
    words.next_if(|word| word.starts_with("pub"));
    let keyword = words.next()?;
    if !["struct", "enum", "trait", "type", "mod"].contains(&keyword) {
        return None;
    }
    let name = words.next()?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
    name.get(..end.unwrap_or(name.len()))
}

fn is_banned(word: &str) -> bool {
    BANNED
        .iter()
        .any(|banned| word == *banned || word == banned.to_ascii_lowercase())
}

fn begins_without_subject(line: &str) -> bool {
    let line = line.trim_start();
    line.strip_prefix("///")
        .or_else(|| line.strip_prefix("//!"))
        .is_some_and(|text| text.starts_with(" Whether ") || text.starts_with(" What "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_source(text: &str, ratchet: &str) -> Vec<String> {
        let tree = Tree::of(&[("a.rs", text), (RATCHET, ratchet)]);
        check(&tree).into_iter().map(|p| p.message).collect()
    }

    #[test]
    fn metaphors_are_no_names() {
        for line in [
            "pub(crate) struct Desk {",
            "enum News;",
            "mod weather; // rain",
            "type Told = u8;",
        ] {
            assert_eq!(check_source(line, "").len(), 1, "{line}");
        }
        for line in [
            "struct Desktop;",
            "let desk = 1;",
            "/// The news.",
            "fn told() {}",
            "mod doors;",
        ] {
            assert_eq!(check_source(line, ""), Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn the_number_of_lines_without_a_subject_only_falls() {
        let text = "/// Whether it is.\n//! What it was.\n/// Returns what it is.\n// What now?\n";
        assert_eq!(
            check_source(text, "what-or-whether 2\n"),
            Vec::<String>::new()
        );
        assert_eq!(
            check_source(text, "what-or-whether 1\n"),
            ["what-or-whether: 2 lines, expected at most 1"]
        );
        assert_eq!(
            check_source(text, "what-or-whether 22\n"),
            Vec::<String>::new()
        );
        assert_eq!(
            check_source(text, "what-or-whether 23\n"),
            ["what-or-whether: 2 lines are left, expected that number here"]
        );
    }

    #[test]
    fn locks_freed_by_hand_are_counted() {
        let text = "a.lock().unwrap_or_else(PoisonError::into_inner)\n";
        assert_eq!(
            check_source(text, "poison-by-hand 1\n"),
            Vec::<String>::new()
        );
        assert_eq!(check_source(text, "").len(), 1);
    }
}

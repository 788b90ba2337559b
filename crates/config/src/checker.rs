//! [`Checker`]: notes every rule that is broken, so that one run tells everything.

use std::fmt::{self, Display};

use tidewire_auth::Lookup;
use tidewire_table::Table;

use crate::{ConfigError, Problem, Rule, Source, load::split};

/// Tells where the value of a key comes from.
pub type Sources<'a> = &'a dyn Fn(&str) -> Vec<Source>;

/// Collects problems while a raw configuration is checked.
pub struct Checker<'a> {
    pub(crate) lookup: &'a dyn Lookup,
    sources: Sources<'a>,
    problems: Vec<Problem>,
    /// Paths that were left out, because they were not understood.
    broken: Vec<Vec<String>>,
}

impl fmt::Debug for Checker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker")
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

impl<'a> Checker<'a> {
    /// References to secrets are looked up in `lookup`.
    pub fn new(lookup: &'a dyn Lookup, sources: Sources<'a>) -> Self {
        Self {
            lookup,
            sources,
            problems: Vec::new(),
            broken: Vec::new(),
        }
    }

    /// The same, when `problems` were found before and `broken` paths were left out because of them.
    pub(crate) fn after(self, problems: Vec<Problem>, broken: Vec<Vec<String>>) -> Self {
        Self {
            problems,
            broken,
            ..self
        }
    }

    /// Whether something at, above or below `key` was not understood: a default stands in its place, and what is
    /// wrong with that is nobody's fault.
    pub fn is_broken(&self, key: &str) -> bool {
        let key = split(key);
        let mut broken = self.broken.iter();
        broken.any(|path| {
            // An item cannot be taken out of a list alone.
            let is_item = path
                .last()
                .is_some_and(|last| last.parse::<usize>().is_ok());
            let path = path.get(..path.len() - usize::from(is_item));
            let path = path.unwrap_or_default();
            key.starts_with(path) || path.starts_with(&key)
        })
    }

    /// Whether a key may be missing because it was misspelt: one beside it was not understood.
    fn is_misspelt(&self, key: &str) -> bool {
        let key = split(key);
        let Some((_, table)) = key.split_last() else {
            return false;
        };
        let mut broken = self.broken.iter();
        broken.any(|path| path.split_last().is_some_and(|(_, beside)| beside == table))
    }

    /// Notes a broken rule, unless it is broken only because of another problem.
    pub fn complain(&mut self, key: &str, rule: Rule) {
        if self.is_broken(key)
            || rule.other().is_some_and(|other| self.is_broken(other))
            || (matches!(rule, Rule::Missing { .. }) && self.is_misspelt(key))
        {
            return;
        }
        self.problems.push(Problem {
            sources: (self.sources)(key),
            key: key.to_owned(),
            rule,
        });
    }

    /// Notes a value that is not what was expected.
    pub fn value(&mut self, key: &str, found: &dyn Display, expected: &str) {
        self.complain(
            key,
            Rule::Value {
                found: found.to_string(),
                expected: expected.to_owned(),
            },
        );
    }

    /// Notes every value of a table, which stands at the key `at`, that is out of its range.
    pub fn ranges(&mut self, at: &str, table: &impl Table) {
        table.violations(at, &mut |violation| {
            self.value(&violation.key, &violation.found, &violation.expected);
        });
    }

    /// The end of the checks, which made `settings`.
    ///
    /// # Errors
    /// All that was noted.
    ///
    /// # Panics
    /// When there are no settings although nothing was noted.
    pub fn finish<S>(self, settings: Option<S>) -> Result<S, ConfigError> {
        match ConfigError::of(self.problems) {
            Some(error) => Err(error),
            None => Ok(settings.expect("a part is only absent when a problem was noted")),
        }
    }
}

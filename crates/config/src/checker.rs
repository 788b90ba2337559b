//! [`Checker`]: notes every rule that is broken, so that one run tells everything.

use std::fmt::{self, Display};

use tidewire_auth::Lookup;

use crate::{ConfigError, Problem, Rule, Source};

/// Tells where the value of a key comes from.
pub type Sources<'a> = &'a dyn Fn(&str) -> Vec<Source>;

/// Collects problems while a raw configuration is checked.
pub struct Checker<'a> {
    pub(crate) lookup: &'a dyn Lookup,
    sources: Sources<'a>,
    problems: Vec<Problem>,
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
        }
    }

    /// Notes a broken rule.
    pub fn complain(&mut self, key: &str, rule: Rule) {
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

//! [`Grants`]: what an identity may do, and the names to which each right extends.
//!
//! Invariant: what is not granted is forbidden.

use std::sync::Arc;

use crate::composed;

/// The rights of an [`Identity`](crate::Identity). What is not granted is forbidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    send_to: Scope,
    subscribe: Scope,
    publish: Scope,
    admin: bool,
}

impl Grants {
    /// No right at all.
    pub fn none() -> Self {
        let nothing = || Scope::Only(Arc::from([]));
        Self {
            send_to: nothing(),
            subscribe: nothing(),
            publish: nothing(),
            admin: false,
        }
    }

    /// Sends to every user, subscribes and publishes to every channel; no administrator.
    pub fn messaging() -> Self {
        Self {
            send_to: Scope::All,
            subscribe: Scope::All,
            publish: Scope::All,
            admin: false,
        }
    }

    /// Sets the users that messages may be addressed to.
    #[must_use]
    pub fn with_send_to(mut self, users: Scope) -> Self {
        self.send_to = users;
        self
    }

    /// Sets the channels that may be subscribed to.
    #[must_use]
    pub fn with_subscribe(mut self, channels: Scope) -> Self {
        self.subscribe = channels;
        self
    }

    /// Sets the channels that may be published to.
    #[must_use]
    pub fn with_publish(mut self, channels: Scope) -> Self {
        self.publish = channels;
        self
    }

    /// Adds the right to act for the operator: to send as user 0, to change what belongs to others.
    #[must_use]
    pub fn with_admin(mut self) -> Self {
        self.admin = true;
        self
    }

    /// The users that messages may be addressed to.
    pub fn send_to(&self) -> &Scope {
        &self.send_to
    }

    /// The channels that may be subscribed to.
    pub fn subscribe(&self) -> &Scope {
        &self.subscribe
    }

    /// The channels that may be published to.
    pub fn publish(&self) -> &Scope {
        &self.publish
    }

    /// The rights that both grant.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            send_to: self.send_to.and(&other.send_to),
            subscribe: self.subscribe.and(&other.subscribe),
            publish: self.publish.and(&other.publish),
            admin: self.admin && other.admin,
        }
    }

    /// Returns whether it may act for the operator.
    pub fn is_admin(&self) -> bool {
        self.admin
    }
}

/// The names (of users or channels) that a right extends to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// Every name.
    All,
    /// These names and no others; none at all if the list is empty. Names are compared byte by byte.
    Only(Arc<[String]>),
    /// The names that one of these patterns covers; see [`Scope::of_patterns`].
    Patterns(Arc<[String]>),
    /// The names that every one of these covers.
    Every(Arc<[Self]>),
}

/// A list of patterns is too long, or one of them is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected at most {PATTERNS_MAX} patterns of at most {PATTERN_BYTES_MAX} bytes")]
pub struct PatternsError;

/// The most patterns that a right may have.
pub const PATTERNS_MAX: usize = 256;
/// The longest pattern in bytes: twice the longest name.
pub const PATTERN_BYTES_MAX: usize = 256;

impl Scope {
    /// The names that one of `patterns` covers. In a pattern `*` stands for any text, also none; everything else is
    /// compared byte by byte, after letters and their marks are put together as in names
    /// ([`user_name`](crate::user_name)).
    ///
    /// # Errors
    /// More than [`PATTERNS_MAX`], or one longer than [`PATTERN_BYTES_MAX`].
    pub fn of_patterns<'a>(
        patterns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, PatternsError> {
        let mut list = Vec::new();
        for pattern in patterns {
            if list.len() == PATTERNS_MAX || pattern.len() > PATTERN_BYTES_MAX {
                return Err(PatternsError);
            }
            list.push(composed(pattern).into_owned());
        }
        if list.iter().any(|pattern| pattern == "*") {
            return Ok(Self::All);
        }
        let has_wildcard = list.iter().any(|pattern| pattern.contains('*'));
        Ok(if has_wildcard {
            Self::Patterns(list.into())
        } else {
            Self::Only(list.into())
        })
    }

    /// Returns whether the right extends to this name. Takes time in proportion to the length of the list.
    pub fn covers(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|covered| covered == name),
            Self::Patterns(patterns) => patterns.iter().any(|pattern| matches(pattern, name)),
            Self::Every(scopes) => scopes.iter().all(|scope| scope.covers(name)),
        }
    }

    /// Returns whether the right extends to every name there may be.
    pub fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, scope) | (scope, Self::All) => scope.clone(),
            (one, other) => Self::Every([one.clone(), other.clone()].into()),
        }
    }
}

/// Each text between two wildcards is looked for at the first place where it can be, which leaves most for the others.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(start) else {
        return false;
    };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*').filter(|part| !part.is_empty()) {
        match name.split_once(part) {
            Some((_, behind)) => name = behind,
            None => return false,
        }
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_covers_what_its_texts_stand_in_in_order() {
        for (pattern, covered, others) in [
            ("bob", &["bob"][..], &["Bob", "bobo", "", "bo"][..]),
            (
                "team-*",
                &["team-", "team-a", "team-*"],
                &["team", "xteam-a"],
            ),
            ("*-bot", &["-bot", "a-bot"], &["bot", "a-bots"]),
            ("a*b*c", &["abc", "axbxc", "abbcc"], &["acb", "ab", "abcx"]),
            ("a*a", &["aa", "aba"], &["a", "ab"]),
            ("**", &["", "x"], &[]),
            ("a**b", &["ab", "axb"], &["a"]),
            ("*x*", &["x", "axb"], &["", "ab"]),
            ("", &[""], &["a"]),
        ] {
            let scope = Scope::of_patterns([pattern]).unwrap();
            for name in covered {
                assert!(scope.covers(name), "{pattern} {name}");
            }
            for name in others {
                assert!(!scope.covers(name), "{pattern} {name}");
            }
        }
        assert_eq!(Scope::of_patterns(["a", "*"]), Ok(Scope::All));
        assert!(!Scope::of_patterns([]).unwrap().covers(""));
    }

    #[test]
    fn patterns_are_bounded_in_number_and_length() {
        let long = "x".repeat(PATTERN_BYTES_MAX + 1);
        assert_eq!(Scope::of_patterns([long.as_str()]), Err(PatternsError));
        let many = vec!["a"; PATTERNS_MAX];
        assert!(Scope::of_patterns(many.iter().copied()).is_ok());
        let many = many.iter().copied().chain(["b"]);
        assert_eq!(Scope::of_patterns(many), Err(PatternsError));
    }

    proptest! {
        /// The straightforward rule, which tries every place.
        #[test]
        fn it_is_what_trying_every_place_finds(pattern in "[ab*]{0,8}", name in "[ab]{0,8}") {
            fn tried(pattern: &[u8], name: &[u8]) -> bool {
                match pattern.split_first() {
                    None => name.is_empty(),
                    Some((b'*', rest)) => (0..=name.len()).any(|at| tried(rest, &name[at..])),
                    Some((byte, rest)) => name.split_first().is_some_and(|(first, name)| first == byte && tried(rest, name)),
                }
            }
            prop_assert_eq!(matches(&pattern, &name), tried(pattern.as_bytes(), name.as_bytes()));
        }
    }
}

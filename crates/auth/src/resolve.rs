//! From [`AuthConfig`] to [`Authenticator`]: references are looked up, everything is checked.
//!
//! Invariant: this is the only way to an authenticator, so every running one has been checked.

use crate::{
    AuthConfig, AuthError, AuthRule, Authenticator, Lookup, Secret, authenticator::Node,
    reference::resolve_text,
};

/// How deep `oneOf` and `allOf` may be nested; a single kind alone is one level.
pub const DEPTH_MAX: usize = 4;
/// How many members all `types` lists may have together; each is evaluated for every request.
pub const MEMBERS_MAX: usize = 16;
/// The longest user name, token or password in bytes: half of the default request head.
pub const SECRET_BYTES_MAX: usize = 8192;

impl AuthConfig {
    /// Looks up the references, checks every rule of [`AuthRule`] and makes the authenticator.
    ///
    /// # Errors
    /// The first broken rule, with the key it is broken at.
    pub fn resolve(&self, lookup: &dyn Lookup) -> Result<Authenticator, AuthError> {
        let mut resolver = Resolver {
            lookup,
            members_count: 0,
        };
        Ok(Authenticator::new(resolver.node(self, "", 1)?))
    }
}

struct Resolver<'a> {
    lookup: &'a dyn Lookup,
    members_count: usize,
}

impl Resolver<'_> {
    fn node(&mut self, config: &AuthConfig, path: &str, depth: usize) -> Result<Node, AuthError> {
        if depth > DEPTH_MAX {
            return Err(broken(path, AuthRule::TooDeep));
        }
        Ok(match config {
            AuthConfig::NoAuth => Node::NoAuth,
            AuthConfig::Basic { user, password } => Node::Basic {
                user: self.text(&Secret::from(user.as_str()), &key(path, "user"), USER)?,
                password: self.text(password, &key(path, "password"), PASSWORD)?,
            },
            AuthConfig::Bearer { value, query } => Node::Bearer {
                value: self.text(value, &key(path, "value"), TOKEN)?,
                query: query
                    .as_ref()
                    .map(|name| field_name(name, &key(path, "query")))
                    .transpose()?,
            },
            AuthConfig::Header { name, value } => Node::Header {
                name: field_name(name, &key(path, "name"))?,
                value: self.text(value, &key(path, "value"), FIELD_VALUE)?,
            },
            AuthConfig::Cookie { name, value } => Node::Cookie {
                name: field_name(name, &key(path, "name"))?,
                value: self.text(value, &key(path, "value"), COOKIE_VALUE)?,
            },
            AuthConfig::OneOf { types } => Node::OneOf(self.members(types, path, depth)?),
            AuthConfig::AllOf { types } => Node::AllOf(self.members(types, path, depth)?),
        })
    }

    fn members(
        &mut self,
        types: &[AuthConfig],
        path: &str,
        depth: usize,
    ) -> Result<Vec<Node>, AuthError> {
        let path = key(path, "types");
        if types.is_empty() {
            return Err(broken(&path, AuthRule::NoMembers));
        }
        self.members_count += types.len();
        if self.members_count > MEMBERS_MAX {
            return Err(broken(&path, AuthRule::TooManyMembers));
        }
        types
            .iter()
            .enumerate()
            .map(|(index, member)| self.node(member, &format!("{path}[{index}]"), depth + 1))
            .collect()
    }

    fn text(&self, text: &Secret, path: &str, allowed: Allowed) -> Result<Secret, AuthError> {
        let resolved = resolve_text(text, self.lookup).map_err(|rule| broken(path, rule))?;
        allowed
            .check(resolved.expose())
            .map_err(|rule| broken(path, rule))?;
        Ok(resolved)
    }
}

/// What may stand in a text. Values that no client can send are errors: they would lock
/// everybody out, or be compared with something the HTTP parser has trimmed.
#[derive(Clone, Copy)]
struct Allowed {
    contains: fn(char) -> bool,
    space_at_ends: bool,
    expected: &'static str,
}

impl Allowed {
    fn check(self, text: &str) -> Result<(), AuthRule> {
        if text.is_empty() {
            return Err(AuthRule::Empty);
        }
        if text.len() > SECRET_BYTES_MAX {
            return Err(AuthRule::TooLong);
        }
        let at_ends_ok = self.space_at_ends || text.trim_matches([' ', '\t']).len() == text.len();
        if !at_ends_ok || !text.chars().all(self.contains) {
            return Err(AuthRule::Unsendable {
                expected: self.expected,
            });
        }
        Ok(())
    }
}

fn field_name(name: &str, path: &str) -> Result<String, AuthError> {
    NAME.check(name).map_err(|rule| broken(path, rule))?;
    Ok(name.to_owned())
}

fn key(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn broken(path: &str, rule: AuthRule) -> AuthError {
    AuthError {
        path: path.to_owned(),
        rule,
    }
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

const USER: Allowed = Allowed {
    contains: |c| !c.is_control() && c != ':',
    space_at_ends: true,
    expected: "no colon and no control character (RFC 7617)",
};
const PASSWORD: Allowed = Allowed {
    contains: |c| !c.is_control(),
    space_at_ends: true,
    expected: "no control character (RFC 7617)",
};
const TOKEN: Allowed = Allowed {
    contains: |c| c.is_ascii_graphic(),
    space_at_ends: false,
    expected: "visible ASCII characters without spaces, without the word Bearer",
};
const FIELD_VALUE: Allowed = Allowed {
    contains: |c| c == '\t' || !c.is_control(),
    space_at_ends: false,
    expected: "no control character and no space at either end",
};
const COOKIE_VALUE: Allowed = Allowed {
    contains: |c| !c.is_control() && c != ';',
    space_at_ends: false,
    expected: "no semicolon, no control character and no space at either end",
};
const NAME: Allowed = Allowed {
    contains: is_token_char,
    space_at_ends: false,
    expected: "letters, digits and !#$%&'*+-.^_`|~ (an HTTP token)",
};

//! [`AuthConfig`]: what the operator writes under an `auth` key, raw and unchecked.
//!
//! The text form is one table per kind with the kind's name under `type`, in any case. It is
//! read into a flat helper first and sorted into a variant then, so that a key of another
//! kind is an error and secrets never pass through serde's generic buffers.

use serde::Deserialize;

use crate::Secret;

/// The authentication a server demands, as configured.
///
/// Text values may be references, `${env:NAME}` or `${file:/path}`; [`AuthConfig::resolve`]
/// looks them up, checks everything and makes the [`Authenticator`](crate::Authenticator).
///
/// ```toml
/// [server.auth]
/// type = "oneOf"
/// types = [
///     { type = "bearer", value = "${env:CHAT_TOKEN}" },
///     { type = "cookie", name = "session", value = "${file:/run/secrets/session}" },
/// ]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "AuthTable")]
#[non_exhaustive]
pub enum AuthConfig {
    /// `noauth`: everybody passes. The default, which servers only accept on loopback.
    #[default]
    NoAuth,
    /// `basic`: user and password in the `Authorization` field (RFC 7617).
    Basic {
        /// The user name: not empty, no colon.
        user: String,
        /// The password; the key `value` means the same.
        password: Secret,
    },
    /// `bearer`: a token in the `Authorization` field (RFC 6750), or among the subprotocols
    /// ([`BEARER_SUBPROTOCOL`](crate::BEARER_SUBPROTOCOL)) of pages, which can set no field.
    Bearer {
        /// The token without the word `Bearer`.
        value: Secret,
        /// Name of a parameter of the query that may carry the token as well, such as `access_token`. Default: none,
        /// because proxies write queries into their logs.
        query: Option<String>,
    },
    /// `header`: any header field.
    Header {
        /// Name of the field, in any case.
        name: String,
        /// The whole value of the field.
        value: Secret,
    },
    /// `cookie`: a cookie of the `Cookie` field (RFC 6265).
    Cookie {
        /// Name of the cookie, in any case.
        name: String,
        /// The whole value of the cookie.
        value: Secret,
    },
    /// `oneOf`: at least one member passes.
    OneOf {
        /// The members; at least one.
        types: Vec<Self>,
    },
    /// `allOf`: every member passes.
    AllOf {
        /// The members; at least one.
        types: Vec<Self>,
    },
}

impl AuthConfig {
    /// The names `type` understands.
    pub const TYPES: &'static [&'static str] = &[
        "noauth", "basic", "bearer", "header", "cookie", "oneOf", "allOf",
    ];

    /// Returns whether a secret stands in the configuration itself instead of being referred to;
    /// worth a warning, because configuration files get copied, printed and committed.
    pub fn has_inline_secret(&self) -> bool {
        match self {
            Self::NoAuth => false,
            Self::Basic {
                password: secret, ..
            }
            | Self::Bearer { value: secret, .. }
            | Self::Header { value: secret, .. }
            | Self::Cookie { value: secret, .. } => !secret.expose().starts_with("${"),
            Self::OneOf { types } | Self::AllOf { types } => {
                types.iter().any(Self::has_inline_secret)
            }
        }
    }
}

/// Every key any kind knows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with a `type`")]
struct AuthTable {
    #[serde(rename = "type")]
    kind: String,
    user: Option<String>,
    password: Option<Secret>,
    name: Option<String>,
    value: Option<Secret>,
    query: Option<String>,
    types: Option<Vec<AuthConfig>>,
}

impl AuthTable {
    fn take_secret(&mut self) -> Result<Secret, String> {
        self.value
            .take()
            .ok_or_else(|| missing(&self.kind, "value"))
    }

    fn take_password(&mut self) -> Result<Secret, String> {
        match (self.password.take(), self.value.take()) {
            (Some(password), None) | (None, Some(password)) => Ok(password),
            (Some(_), Some(_)) => Err("`password` and `value` mean the same for type `basic`: \
                                       give only one of them"
                .to_owned()),
            (None, None) => Err(missing(&self.kind, "password")),
        }
    }

    fn take_name(&mut self) -> Result<String, String> {
        self.name.take().ok_or_else(|| missing(&self.kind, "name"))
    }

    fn take_types(&mut self) -> Result<Vec<AuthConfig>, String> {
        self.types
            .take()
            .ok_or_else(|| missing(&self.kind, "types"))
    }

    /// The first key that is still there after the kind took its own.
    fn left_over(&self) -> Option<&'static str> {
        [
            ("user", self.user.is_some()),
            ("password", self.password.is_some()),
            ("name", self.name.is_some()),
            ("value", self.value.is_some()),
            ("query", self.query.is_some()),
            ("types", self.types.is_some()),
        ]
        .into_iter()
        .find_map(|(key, is_there)| is_there.then_some(key))
    }
}

impl TryFrom<AuthTable> for AuthConfig {
    type Error = String;

    fn try_from(mut table: AuthTable) -> Result<Self, String> {
        let kind = table.kind.to_ascii_lowercase();
        let config = match kind.as_str() {
            "noauth" => Self::NoAuth,
            "basic" => Self::Basic {
                user: table
                    .user
                    .take()
                    .ok_or_else(|| missing(&table.kind, "user"))?,
                password: table.take_password()?,
            },
            "bearer" => Self::Bearer {
                value: table.take_secret()?,
                query: table.query.take(),
            },
            "header" => Self::Header {
                name: table.take_name()?,
                value: table.take_secret()?,
            },
            "cookie" => Self::Cookie {
                name: table.take_name()?,
                value: table.take_secret()?,
            },
            "oneof" => Self::OneOf {
                types: table.take_types()?,
            },
            "allof" => Self::AllOf {
                types: table.take_types()?,
            },
            _ => {
                return Err(format!(
                    "unknown authentication type `{}`, expected one of {}",
                    table.kind,
                    Self::TYPES.join(", ")
                ));
            }
        };
        match table.left_over() {
            Some(key) => Err(format!(
                "authentication type `{}` has no key `{key}`",
                table.kind
            )),
            None => Ok(config),
        }
    }
}

fn missing(kind: &str, key: &str) -> String {
    format!("authentication type `{kind}` needs the key `{key}`")
}

//! [`Authenticator`]: decides whether a request may pass, and as whom.
//!
//! Invariant: every member of every list is evaluated, whatever the members before it said,
//! and results are combined without branches, so the time tells nothing about which one failed.

use std::sync::Arc;

use subtle::Choice;

use crate::{
    Headers, Identity, Secret,
    credentials::{self, Offer},
};

/// A checked authentication, made by [`AuthConfig::resolve`](crate::AuthConfig::resolve).
///
/// Equal are those that demand the same, secrets included. Share it between threads; a check allocates at most a few small boxes and never blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticator {
    root: Node,
    /// The same for everyone who passes: no kind knows single users.
    identity: Arc<Identity>,
}

/// The request may not pass. The distinction is for logs and counters: clients get the same
/// answer either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// The request carries nothing of any demanded kind.
    #[error("no credentials")]
    Missing,
    /// Credentials are there, but wrong, malformed, ambiguous or not enough.
    #[error("wrong credentials")]
    Wrong,
}

impl Authenticator {
    pub(crate) fn new(root: Node) -> Self {
        Self {
            root,
            identity: Arc::new(Identity::of_group()),
        }
    }

    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    /// Decides about a request by its header fields; returns who it is.
    ///
    /// A field that a kind looks at and that occurs twice does not count for that kind, even if one of the two, or
    /// both, would be right. Of several cookies of the demanded name one has to be right, because browsers send those
    /// of the host and of the domain together.
    ///
    /// A bearer token may also come as a subprotocol ([`BEARER_SUBPROTOCOL`](crate::BEARER_SUBPROTOCOL)), and in the
    /// query where the configuration names a parameter.
    ///
    /// # Errors
    /// [`Denied`]: answer 401 or close the WebSocket, and say no more than that.
    pub fn check(&self, headers: &dyn Headers) -> Result<Arc<Identity>, Denied> {
        let verdict = self.root.evaluate(headers);
        if bool::from(verdict.passes) {
            Ok(Arc::clone(&self.identity))
        } else if verdict.offered {
            Err(Denied::Wrong)
        } else {
            Err(Denied::Missing)
        }
    }

    /// The value for `WWW-Authenticate` in a 401 answer, when basic authentication is among
    /// the types: it makes browsers ask for user and password.
    pub fn challenge(&self) -> Option<&str> {
        self.root
            .any_leaf(|leaf| matches!(leaf, Node::Basic { .. }))
            .then_some(r#"Basic realm="tidewire", charset="UTF-8""#)
    }

    /// Returns whether requests without any credentials pass, be it by `noauth` itself or by a list
    /// that comes to the same. Such a server belongs on loopback.
    pub fn is_open(&self) -> bool {
        self.root.is_open()
    }

    /// Returns whether browsers attach the credentials on their own (basic, cookie), so that pages of
    /// other origins could use them: an origin allow-list has to protect the endpoint.
    pub fn uses_ambient_credentials(&self) -> bool {
        self.root
            .any_leaf(|leaf| matches!(leaf, Node::Basic { .. } | Node::Cookie { .. }))
    }
}

/// One checked member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    NoAuth,
    Basic {
        user: Secret,
        password: Secret,
    },
    Bearer {
        value: Secret,
        /// A parameter of the query that may carry the token as well.
        query: Option<String>,
    },
    Header {
        name: String,
        value: Secret,
    },
    Cookie {
        name: String,
        value: Secret,
    },
    OneOf(Vec<Self>),
    AllOf(Vec<Self>),
}

impl Node {
    fn evaluate(&self, headers: &dyn Headers) -> Verdict {
        match self {
            Self::NoAuth => Verdict {
                passes: Choice::from(1),
                offered: false,
            },
            Self::Basic { user, password } => Verdict::of(&credentials::basic(headers), |found| {
                user.matches_choice(found.user()) & password.matches_choice(found.password())
            }),
            Self::Bearer { value, query } => {
                let tokens = credentials::bearer(headers, query.as_deref());
                Verdict::any(
                    tokens
                        .iter()
                        .map(|token| value.matches_choice(token.bytes())),
                )
            }
            Self::Header { name, value } => {
                Verdict::of(&credentials::field(headers, name), |found| {
                    value.matches_choice(found)
                })
            }
            Self::Cookie { name, value } => {
                Verdict::any(credentials::cookies(headers, name).map(|found| {
                    let unquoted =
                        credentials::unquoted(found).map(|found| value.matches_choice(found));
                    value.matches_choice(found) | unquoted.unwrap_or_else(|| Choice::from(0))
                }))
            }
            Self::OneOf(members) => members.iter().fold(Verdict::start(0), |so_far, member| {
                let verdict = member.evaluate(headers);
                Verdict {
                    passes: so_far.passes | verdict.passes,
                    offered: so_far.offered | verdict.offered,
                }
            }),
            Self::AllOf(members) => members.iter().fold(Verdict::start(1), |so_far, member| {
                let verdict = member.evaluate(headers);
                Verdict {
                    passes: so_far.passes & verdict.passes,
                    offered: so_far.offered | verdict.offered,
                }
            }),
        }
    }

    fn is_open(&self) -> bool {
        match self {
            Self::NoAuth => true,
            Self::Basic { .. }
            | Self::Bearer { .. }
            | Self::Header { .. }
            | Self::Cookie { .. } => false,
            Self::OneOf(members) => members.iter().any(Self::is_open),
            Self::AllOf(members) => members.iter().all(Self::is_open),
        }
    }

    fn any_leaf(&self, is_wanted: fn(&Self) -> bool) -> bool {
        match self {
            Self::OneOf(members) | Self::AllOf(members) => {
                members.iter().any(|member| member.any_leaf(is_wanted))
            }
            Self::NoAuth
            | Self::Basic { .. }
            | Self::Bearer { .. }
            | Self::Header { .. }
            | Self::Cookie { .. } => is_wanted(self),
        }
    }
}

/// The result of one member.
struct Verdict {
    passes: Choice,
    /// Whether the request had anything of the kind; known to the sender, so no secret.
    offered: bool,
}

impl Verdict {
    fn start(passes: u8) -> Self {
        Self {
            passes: Choice::from(passes),
            offered: false,
        }
    }

    /// Passes if one does; each is evaluated.
    fn any(choices: impl Iterator<Item = Choice>) -> Self {
        choices.fold(Self::start(0), |so_far, choice| Self {
            passes: so_far.passes | choice,
            offered: true,
        })
    }

    fn of<T>(offer: &Offer<T>, compare: impl FnOnce(&T) -> Choice) -> Self {
        match offer {
            Offer::Missing => Self::start(0),
            Offer::Unusable => Self {
                passes: Choice::from(0),
                offered: true,
            },
            Offer::Found(found) => Self {
                passes: compare(found),
                offered: true,
            },
        }
    }
}

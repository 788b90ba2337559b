//! [`Authenticator`]: decides whether a request may pass, and as whom.

use std::{sync::Arc, time::SystemTime};

use crate::{
    Answers, Headers, Identity, Inquiry,
    jwt::{BadToken, KeyServer},
    node::{Node, Request},
};

/// A checked authentication, made by [`AuthConfig::resolve`](crate::AuthConfig::resolve).
///
/// Equal are those that demand the same, secrets included. Share it between threads; a check allocates at most a few small boxes and never blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticator {
    pub(crate) root: Node,
    /// That of everybody who passes by a secret that a group shares.
    group: Arc<Identity>,
}

/// The request may not pass. The distinction is for logs and counters: clients get the same
/// answer to all but the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// The request carries nothing of any demanded kind.
    #[error("no credentials")]
    Missing,
    /// Credentials are there, but wrong, malformed, ambiguous or not enough.
    #[error("wrong credentials")]
    Wrong,
    /// There is a token, and it is good for nothing.
    #[error("bad token: {0}")]
    Token(BadToken),
    /// Whoever knows better cannot be asked. Trying again later may help.
    #[error("the credentials cannot be checked now")]
    Unavailable,
}

impl Denied {
    /// A short word for counters.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Wrong => "wrong",
            Self::Token(BadToken::Expired) => "expired",
            Self::Token(_) => "token",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Authenticator {
    pub(crate) fn new(root: Node) -> Self {
        Self {
            root,
            group: Arc::new(Identity::of_group()),
        }
    }

    /// Decides about a request; returns who it is. What would have to be asked elsewhere is denied: see
    /// [`inquiries`](Self::inquiries).
    ///
    /// Of several fields, cookies or parameters of a demanded name one has to be right: browsers send those of the
    /// host and of the domain together, and proxies add fields of their own. Two tokens that stand for different
    /// identities do not count.
    ///
    /// A bearer token may also come as a subprotocol ([`BEARER_SUBPROTOCOL`](crate::BEARER_SUBPROTOCOL)), and in the
    /// query where the configuration names a parameter.
    ///
    /// # Errors
    /// [`Denied`]: answer 401 or close the WebSocket, and say no more than that.
    pub fn check(&self, headers: &dyn Headers) -> Result<Arc<Identity>, Denied> {
        self.check_with(headers, &Answers::default(), SystemTime::now())
    }

    /// [`check`](Self::check) at a moment, with what has been found out about the request.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn check_with(
        &self,
        headers: &dyn Headers,
        answers: &Answers,
        now: SystemTime,
    ) -> Result<Arc<Identity>, Denied> {
        let verdict = self.root.evaluate(&Request {
            headers,
            answers,
            now,
        });
        if bool::from(verdict.passes) {
            Ok(verdict
                .identity
                .map_or_else(|| Arc::clone(&self.group), |identity| Arc::new(*identity)))
        } else if verdict.unavailable {
            Err(Denied::Unavailable)
        } else if let Some(bad) = verdict.bad_token {
            Err(Denied::Token(bad))
        } else if verdict.offered {
            Err(Denied::Wrong)
        } else {
            Err(Denied::Missing)
        }
    }

    /// The questions to be asked elsewhere before [`check_with`](Self::check_with) can decide about a request that
    /// [`check`](Self::check) has denied; at most a few questions. Empty: nothing would change its mind.
    ///
    /// All of them are asked, whatever the other members of a list have said: the time must not tell which one failed.
    pub fn inquiries(&self, headers: &dyn Headers) -> Vec<Inquiry> {
        let mut inquiries = Vec::new();
        self.root.inquire(headers, &mut inquiries);
        inquiries
    }

    /// The key servers whose keys it uses.
    pub fn key_servers(&self) -> Vec<KeyServer> {
        let mut servers = Vec::new();
        self.root.each_leaf(&mut |leaf| {
            if let Node::Jwt(jwt) = leaf {
                servers.extend(jwt.server.clone());
            }
        });
        servers
    }

    /// The services that it asks.
    pub fn remotes(&self) -> Vec<Arc<crate::Remote>> {
        let mut remotes = Vec::new();
        self.root.each_leaf(&mut |leaf| {
            if let Node::Remote(remote) = leaf {
                remotes.push(Arc::clone(remote));
            }
        });
        remotes
    }

    /// Returns whether a WebSocket without a token may send one as its first message.
    pub fn takes_first_message(&self) -> bool {
        self.root
            .any_leaf(|leaf| matches!(leaf, Node::Jwt(jwt) if jwt.first_message))
    }

    /// Returns whether it looks at the certificates of clients.
    pub fn uses_certificates(&self) -> bool {
        self.root
            .any_leaf(|leaf| matches!(leaf, Node::Certificate { .. }))
    }

    /// The value for `WWW-Authenticate` in a 401 answer. With basic authentication among the types it makes browsers
    /// ask for user and password; with tokens it says so (RFC 6750 section 3).
    pub fn challenge(&self) -> Option<&str> {
        if self.root.any_leaf(Node::is_basic) {
            Some(r#"Basic realm="tidewire", charset="UTF-8""#)
        } else if self.root.any_leaf(|leaf| matches!(leaf, Node::Jwt(_))) {
            Some(r#"Bearer realm="tidewire""#)
        } else {
            None
        }
    }

    /// Returns whether requests without any credentials pass, be it by `noauth` itself or by a list
    /// that comes to the same. Such a server belongs on loopback.
    pub fn is_open(&self) -> bool {
        self.root.is_open()
    }

    /// Returns whether browsers attach the credentials on their own (basic, cookie, certificate), so that pages of
    /// other origins could use them: an origin allow-list has to protect the endpoint.
    pub fn uses_ambient_credentials(&self) -> bool {
        self.root.any_leaf(Node::is_ambient)
    }
}

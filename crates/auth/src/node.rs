//! The kinds as a tree, and how a request is judged by it.
//!
//! Invariant: every member of every list is evaluated, whatever the members before it said,
//! and results are combined without branches, so the time tells nothing about which one failed.

use std::{sync::Arc, time::SystemTime};

use subtle::Choice;

use crate::{
    Answers, CertificatePart, Headers, Identity, Inquiry, Remote, RemoteAnswer, Secret,
    credentials,
    jwt::{self, BadToken, KeyServer, KeySet, SignedBy, TokenRules},
    remote::OFFERS_MAX,
    user_name,
};

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
    Jwt(Arc<Jwt>),
    Remote(Arc<Remote>),
    Certificate {
        part: CertificatePart,
        prefix: String,
        suffix: String,
    },
    OneOf(Vec<Self>),
    AllOf(Vec<Self>),
}

/// A checked `jwt`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Jwt {
    pub(crate) rules: TokenRules,
    pub(crate) keys: KeySet,
    pub(crate) server: Option<KeyServer>,
    pub(crate) cookie: Option<String>,
    pub(crate) query: Option<String>,
    pub(crate) first_message: bool,
}

/// Everything by which a request is judged.
pub(crate) struct Request<'a> {
    pub(crate) headers: &'a dyn Headers,
    pub(crate) answers: &'a Answers,
    pub(crate) now: SystemTime,
}

impl Node {
    pub(crate) fn evaluate(&self, request: &Request<'_>) -> Verdict {
        let headers = request.headers;
        match self {
            Self::NoAuth => Verdict::start(1),
            Self::Basic { user, password } => {
                Verdict::any(credentials::basic(headers).map(|found| {
                    let empty = (&[][..], &[][..]);
                    let found = found.as_ref();
                    let (name, secret) =
                        found.map_or(empty, |found| (found.user(), found.password()));
                    let is_readable = Choice::from(u8::from(found.is_some()));
                    is_readable & user.matches_choice(name) & password.matches_choice(secret)
                }))
            }
            Self::Bearer { value, query } => {
                let tokens = credentials::bearer(headers, query.as_deref());
                let tokens = tokens.iter();
                Verdict::any(tokens.map(|token| value.matches_choice(token.bytes())))
            }
            Self::Header { name, value } => Verdict::any(
                headers
                    .values(name)
                    .map(|found| value.matches_choice(found)),
            ),
            Self::Cookie { name, value } => {
                Verdict::any(credentials::cookies(headers, name).map(|found| {
                    let unquoted =
                        credentials::unquoted(found).map(|found| value.matches_choice(found));
                    value.matches_choice(found) | unquoted.unwrap_or_else(|| Choice::from(0))
                }))
            }
            Self::Jwt(jwt) => jwt.evaluate(request),
            Self::Remote(remote) => evaluate_remote(remote, request),
            Self::Certificate {
                part,
                prefix,
                suffix,
            } => evaluate_certificate(&headers.certificate_names(*part), prefix, suffix),
            Self::OneOf(members) => members
                .iter()
                .map(|member| member.evaluate(request))
                .fold(Verdict::start(0), Verdict::or),
            Self::AllOf(members) => members
                .iter()
                .map(|member| member.evaluate(request))
                .fold(Verdict::start(1), Verdict::and),
        }
    }

    /// Adds what has to be asked elsewhere about a request.
    pub(crate) fn inquire(&self, headers: &dyn Headers, inquiries: &mut Vec<Inquiry>) {
        match self {
            Self::OneOf(members) | Self::AllOf(members) => {
                for member in members {
                    member.inquire(headers, inquiries);
                }
            }
            Self::Jwt(jwt) => jwt.inquire(headers, inquiries),
            Self::Remote(remote) => {
                let offers = remote.offers(headers);
                if offers.len() > OFFERS_MAX {
                    return;
                }
                for credential in offers.into_iter().filter(|it| !it.is_empty()) {
                    inquiries.push(Inquiry::Remote {
                        remote: Arc::clone(remote),
                        credential,
                    });
                }
            }
            Self::NoAuth
            | Self::Basic { .. }
            | Self::Bearer { .. }
            | Self::Header { .. }
            | Self::Cookie { .. }
            | Self::Certificate { .. } => {}
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::NoAuth => true,
            Self::Basic { .. }
            | Self::Bearer { .. }
            | Self::Header { .. }
            | Self::Cookie { .. }
            | Self::Jwt(_)
            | Self::Remote(_)
            | Self::Certificate { .. } => false,
            Self::OneOf(members) => members.iter().any(Self::is_open),
            Self::AllOf(members) => members.iter().all(Self::is_open),
        }
    }

    pub(crate) fn is_basic(&self) -> bool {
        let asks = |remote: &Remote| remote.asks_for_basic();
        matches!(self, Self::Basic { .. }) || self.as_remote().is_some_and(asks)
    }

    pub(crate) fn is_ambient(&self) -> bool {
        let by_itself = matches!(
            self,
            Self::Basic { .. } | Self::Cookie { .. } | Self::Certificate { .. }
        );
        let in_cookie = matches!(self, Self::Jwt(jwt) if jwt.cookie.is_some());
        let asks = |remote: &Remote| remote.is_ambient();
        by_itself || in_cookie || self.as_remote().is_some_and(asks)
    }

    fn as_remote(&self) -> Option<&Remote> {
        if let Self::Remote(remote) = self {
            Some(remote)
        } else {
            None
        }
    }

    pub(crate) fn any_leaf(&self, is_wanted: fn(&Self) -> bool) -> bool {
        let mut found = false;
        self.each_leaf(&mut |leaf| found |= is_wanted(leaf));
        found
    }

    pub(crate) fn each_leaf(&self, visit: &mut dyn FnMut(&Self)) {
        if let Self::OneOf(members) | Self::AllOf(members) = self {
            for member in members {
                member.each_leaf(visit);
            }
        } else {
            visit(self);
        }
    }
}

impl Jwt {
    /// The tokens of a request, from all places that are allowed.
    fn tokens<'a>(&'a self, headers: &'a dyn Headers) -> Vec<credentials::Token<'a>> {
        let mut tokens = credentials::bearer(headers, self.query.as_deref());
        if let Some(name) = &self.cookie {
            let cookies = credentials::cookies(headers, name);
            let cookies = cookies.map(|it| credentials::unquoted(it).unwrap_or(it));
            tokens.extend(cookies.map(credentials::Token::Sent));
        }
        if let Some(token) = headers.first_message().filter(|_| self.first_message) {
            tokens.push(credentials::Token::Sent(token));
        }
        tokens
    }

    fn evaluate(&self, request: &Request<'_>) -> Verdict {
        let tokens = self.tokens(request.headers);
        let mut verdict = Verdict::start(0);
        verdict.offered = !tokens.is_empty();
        if tokens.len() > OFFERS_MAX {
            return verdict;
        }
        let known = self.server.as_ref().and_then(KeyServer::known);
        let keys = jwt::Keys {
            fixed: &self.keys,
            fetched: known.as_ref().map(|known| &*known.keys),
        };
        let mut found: Option<Identity> = None;
        for token in &tokens {
            match jwt::verify(token.bytes(), keys, &self.rules, request.now) {
                Ok(identity) if found.as_ref().is_some_and(|other| *other != identity) => {
                    return verdict;
                }
                Ok(identity) => found = Some(identity),
                Err(BadToken::Signature) if self.server.is_some() && known.is_none() => {
                    verdict.unavailable = true;
                }
                Err(bad) => verdict.bad_token = Some(bad),
            }
        }
        verdict.pass_as(found);
        verdict
    }

    fn inquire(&self, headers: &dyn Headers, inquiries: &mut Vec<Inquiry>) {
        let Some(server) = &self.server else { return };
        let tokens = self.tokens(headers);
        if tokens.len() > OFFERS_MAX {
            return;
        }
        let known = server.known();
        for token in &tokens {
            let Some(SignedBy(key_id)) = jwt::signed_by(token.bytes(), &self.rules) else {
                continue;
            };
            let is_known = known.as_ref().is_some_and(|known| {
                let mut sets = [&*known.keys, &self.keys].into_iter();
                // A token that names no key is one of those that are there.
                key_id
                    .as_ref()
                    .is_none_or(|id| sets.any(|keys| keys.has_id(id)))
            });
            if !is_known {
                let server = server.clone();
                inquiries.push(Inquiry::Keys { server, key_id });
            }
        }
    }
}

fn evaluate_remote(remote: &Arc<Remote>, request: &Request<'_>) -> Verdict {
    let offers = remote.offers(request.headers);
    let mut verdict = Verdict::start(0);
    verdict.offered = !offers.is_empty();
    if offers.len() > OFFERS_MAX {
        return verdict;
    }
    let mut found: Option<Identity> = None;
    for credential in offers.iter().filter(|it| !it.is_empty()) {
        match request.answers.about(remote, credential) {
            RemoteAnswer::Yes(identity) if found.as_ref().is_some_and(|it| *it != identity) => {
                return verdict;
            }
            RemoteAnswer::Yes(identity) => found = Some(identity),
            RemoteAnswer::No => {}
            RemoteAnswer::Unavailable => verdict.unavailable = true,
        }
    }
    let is_over = found
        .as_ref()
        .and_then(Identity::expires)
        .is_some_and(|expires| expires <= request.now);
    verdict.pass_as(found.filter(|_| !is_over));
    verdict
}

/// One user has to come out, whatever other names there are.
fn evaluate_certificate(names: &[String], prefix: &str, suffix: &str) -> Verdict {
    let mut verdict = Verdict::start(0);
    verdict.offered = !names.is_empty();
    let mut users = names.iter().filter_map(|name| {
        let inner = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
        // A certificate for every host of a domain is nobody's in particular.
        (!inner.starts_with("*."))
            .then(|| user_name(inner).ok())
            .flatten()
    });
    let user = users.next();
    let is_unambiguous = users.all(|other| Some(&other) == user.as_ref());
    let user = user.filter(|_| is_unambiguous);
    verdict.pass_as(user.map(|user| Identity::of_group().with_user(user)));
    verdict
}

/// The result of one member.
pub(crate) struct Verdict {
    pub(crate) passes: Choice,
    /// The request had something of the kind; known to the sender, so no secret.
    pub(crate) offered: bool,
    /// Something that may be right could not be checked.
    pub(crate) unavailable: bool,
    /// The reason why a token is bad.
    pub(crate) bad_token: Option<BadToken>,
    /// Who it is, as far as the credentials say so; these are not compared with a secret.
    pub(crate) identity: Option<Box<Identity>>,
}

impl Verdict {
    fn start(passes: u8) -> Self {
        Self {
            passes: Choice::from(passes),
            offered: false,
            unavailable: false,
            bad_token: None,
            identity: None,
        }
    }

    /// Passes if one does; each is evaluated. More than [`OFFERS_MAX`] are nobody's: a request is one guess, not many.
    fn any(choices: impl Iterator<Item = Choice>) -> Self {
        let mut verdict = Self::start(0);
        let mut count = 0;
        for choice in choices.take(OFFERS_MAX + 1) {
            verdict.passes |= choice;
            count += 1;
        }
        verdict.offered = count > 0;
        verdict.passes &= Choice::from(u8::from(count <= OFFERS_MAX));
        verdict
    }

    fn pass_as(&mut self, identity: Option<Identity>) {
        self.passes = Choice::from(u8::from(identity.is_some()));
        self.identity = identity.filter(|it| !it.is_group()).map(Box::new);
    }

    /// The first member that passes and says who it is, says it.
    fn or(self, member: Self) -> Self {
        let says = member.identity.filter(|_| bool::from(member.passes));
        Self {
            passes: self.passes | member.passes,
            identity: self.identity.or(says),
            offered: self.offered | member.offered,
            unavailable: self.unavailable | member.unavailable,
            bad_token: self.bad_token.or(member.bad_token),
        }
    }

    /// Both have to pass, and to agree about who it is.
    fn and(self, member: Self) -> Self {
        let mut passes = self.passes & member.passes;
        let identity = match (self.identity, member.identity) {
            (Some(one), Some(other)) => {
                let both = one.and(&other);
                passes &= Choice::from(u8::from(both.is_some()));
                both.map(Box::new)
            }
            (one, other) => one.or(other),
        };
        Self {
            passes,
            identity,
            offered: self.offered | member.offered,
            unavailable: self.unavailable | member.unavailable,
            bad_token: self.bad_token.or(member.bad_token),
        }
    }
}

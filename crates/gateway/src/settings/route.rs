//! [`Route`]: which requests are pinned to an endpoint.

use regex::Regex;

/// Requests that meet every condition go to one endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Name of the endpoint.
    pub endpoint: String,
    /// All must hold; none holds for every request.
    pub conditions: Vec<Condition>,
    /// The path towards the upstream: `None` keeps the upstream's own path. `Some(prefix)`: the
    /// request's path without `prefix` is put behind the upstream's path.
    pub strip_prefix: Option<String>,
    /// The path towards the upstream is that of the request, whatever the upstream's own is.
    pub keep_path: bool,
    /// Clients that ask for the endpoint by its name need not meet the [guards](Self::guards).
    pub by_name: bool,
}

impl Route {
    /// The conditions that a client must meet who asks for the endpoint by its name: those that tell who asks and what
    /// for. Path and subprotocol are not among them, for there the client says the name instead.
    pub fn guards(&self) -> impl Iterator<Item = &Condition> {
        let conditions = self.conditions.iter();
        conditions.filter(|condition| match condition.source {
            Source::Host | Source::Header(_) | Source::Query(_) | Source::Cookie(_) => true,
            Source::Path | Source::Subprotocol => false,
        })
    }
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// What is looked at.
    pub source: Source,
    /// What it must be.
    pub pattern: Pattern,
}

/// A part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The path, without query.
    Path,
    /// The `Host` header without port, in lower case.
    Host,
    /// A request header.
    Header(String),
    /// A query parameter, percent-decoded.
    Query(String),
    /// One of the offered subprotocols.
    Subprotocol,
    /// A cookie.
    Cookie(String),
}

/// What a part of a request must be.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Exactly this.
    Exact(String),
    /// With `*` for any run of characters.
    Wildcard(Regex),
    /// A regular expression over the whole.
    Regex(Regex),
}

impl PartialEq for Pattern {
    /// Whether they were written alike.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(ours), Self::Exact(theirs)) => ours == theirs,
            (Self::Wildcard(ours), Self::Wildcard(theirs))
            | (Self::Regex(ours), Self::Regex(theirs)) => ours.as_str() == theirs.as_str(),
            (Self::Exact(_) | Self::Wildcard(_) | Self::Regex(_), _) => false,
        }
    }
}

/// A pattern cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("expected text, text with `*`, or `re:` and a regular expression: {0}")]
pub struct PatternError(String);

impl Pattern {
    /// `re:` begins a regular expression, which must match the whole; `*` stands for any run of
    /// characters; anything else is itself.
    ///
    /// # Errors
    /// [`PatternError`] for a regular expression that is none, or larger than 64 KiB compiled.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if let Some(expression) = text.strip_prefix("re:") {
            return Ok(Self::Regex(whole(expression)?));
        }
        if text.contains('*') {
            let parts: Vec<String> = text.split('*').map(regex::escape).collect();
            return Ok(Self::Wildcard(whole(&parts.join("(?s:.*)"))?));
        }
        Ok(Self::Exact(text.to_owned()))
    }

    /// Whether it matches the whole of `text`.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Wildcard(regex) | Self::Regex(regex) => regex.is_match(text),
        }
    }
}

fn whole(expression: &str) -> Result<Regex, PatternError> {
    regex::RegexBuilder::new(&format!("^(?:{expression})$"))
        .size_limit(64 << 10)
        .build()
        .map_err(|error| PatternError(error.to_string()))
}

//! [`ConfigError`]: everything that is wrong with a configuration, each with its source and key.
//!
//! Invariant: values are repeated in messages, for that helps, except below `auth` keys.

use std::{fmt, path::PathBuf};

use tidewire_auth::AuthRule;

/// At least one [`Problem`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// `None` when there is nothing to complain about.
    pub(crate) fn of(problems: Vec<Problem>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self { problems })
    }

    /// All problems found, in the order of the layers and keys. Not empty.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The same with other names for keys that come from files: those for which `name` has one.
    #[must_use]
    pub fn with_keys_of_files(mut self, name: impl Fn(&str) -> Option<String>) -> Self {
        for problem in &mut self.problems {
            let is_of_file = |source: &Source| matches!(source, Source::File(_));
            if problem.sources.iter().any(is_of_file)
                && let Some(name) = name(&problem.key)
            {
                problem.key = name;
            }
        }
        self
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [problem] => write!(f, "{problem}"),
            problems => {
                write!(f, "{} problems in the configuration", problems.len())?;
                problems
                    .iter()
                    .try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the value comes from; several when a table was put together from several layers.
    pub sources: Vec<Source>,
    /// The key with its tables, such as `server.auth.types[1].value`; empty when the source as a
    /// whole is the problem.
    pub key: String,
    /// What is expected and what was found.
    pub rule: Rule,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, source) in self.sources.iter().enumerate() {
            let separator = if index == 0 { "" } else { " and " };
            write!(f, "{separator}{source}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.rule)
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Nobody set it.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A command line flag.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// The rules a configuration keeps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rule {
    /// The configuration file cannot be read.
    #[error("cannot be read: {reason}")]
    Unreadable {
        /// What the system said.
        reason: String,
    },
    /// The text is not TOML.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// What the parser expected.
        message: String,
    },
    /// There is no such key.
    #[error("unknown key{}", expected_list(.expected))]
    UnknownKey {
        /// The keys of that table; empty when there is no such table either.
        expected: Vec<String>,
    },
    /// There was such a key; it has another name now.
    #[error("is called {key} now{}", with_unit(.example.as_deref()))]
    Renamed {
        /// The key of today.
        key: String,
        /// A value of it, where it is written with a unit.
        example: Option<String>,
    },
    /// A variable names a table instead of a key.
    #[error("is a table: set its keys, each with a variable of its own")]
    IsTable,
    /// Two variables set the same key.
    #[error("set twice: variables differ in case only")]
    SetTwice,
    /// A variable is not valid Unicode.
    #[error("is not valid UTF-8")]
    NotUnicode,
    /// A value has the wrong type or is out of range.
    #[error("found {found}, expected {expected}")]
    Value {
        /// The value, or only its type when it may be a secret.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// An authentication table cannot be understood.
    #[error("{message}")]
    AuthTable {
        /// What is wrong with it.
        message: String,
    },
    /// An authentication breaks one of its own rules.
    #[error("{0}")]
    Auth(AuthRule),
    /// A file that is named by a key cannot be opened.
    #[error("cannot open {}: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A text that is needed because of another key is empty.
    #[error("is empty, but {other} is true")]
    NeededBy {
        /// The other key.
        other: String,
    },
    /// Client certificates are demanded on a listener without TLS.
    #[error("client certificates need {other} = true")]
    ClientCaWithoutTls {
        /// The key that switches TLS on.
        other: String,
    },
    /// A limit is below another that it has to contain.
    #[error("found {found}, expected at least {other}, which is {least}")]
    BelowOther {
        /// The value.
        found: String,
        /// The other key.
        other: String,
        /// Its value.
        least: String,
    },
    /// A value is not below another that has to be greater.
    #[error("found {found}, expected less than {other}, which is {bound}")]
    NotBelowOther {
        /// The value.
        found: String,
        /// The other key.
        other: String,
        /// Its value.
        bound: String,
    },
    /// Both listeners want the same port.
    #[error("found port {port}, which {other} uses too: expected different ports")]
    PortTaken {
        /// The port.
        port: u16,
        /// The other key.
        other: String,
    },
    /// Two listeners want the same Unix socket.
    #[error("found {socket}, which {other} uses too: expected different sockets")]
    SocketTaken {
        /// The socket.
        socket: String,
        /// The other key.
        other: String,
    },
    /// Anybody on the network could connect.
    #[error(
        "{listen} is reachable from other machines and {auth} lets everybody pass: set {auth}{}",
        ways_out(.unless.as_deref())
    )]
    PublicWithoutAuth {
        /// The address.
        listen: String,
        /// The key of the authentication.
        auth: String,
        /// The key that allows it, if there is one.
        unless: Option<String>,
    },
    /// Any web page could use the credentials of whoever visits it.
    #[error(
        "found {found}, but {auth} uses credentials that browsers attach on their own (basic, \
         cookie, certificate): list the origins one by one"
    )]
    AnyOriginWithAmbientCredentials {
        /// How any origin was allowed.
        found: &'static str,
        /// The key of the authentication.
        auth: String,
    },
    /// Something is there twice that must be unique.
    #[error("found {found}, which {other} has too: expected names that differ in more than case")]
    NameTaken {
        /// The name.
        found: String,
        /// The other key.
        other: String,
    },
    /// Certificates, keys or authorities cannot be used together.
    #[error("{message}")]
    Tls {
        /// What is wrong, with the file.
        message: String,
    },
    /// Something is missing that must be there.
    #[error("{what}")]
    Missing {
        /// What, and how to write it.
        what: String,
    },
}

impl Rule {
    /// The key that a value has to agree with.
    pub(crate) fn other(&self) -> Option<&str> {
        match self {
            Self::NeededBy { other }
            | Self::ClientCaWithoutTls { other }
            | Self::BelowOther { other, .. }
            | Self::NotBelowOther { other, .. }
            | Self::PortTaken { other, .. }
            | Self::SocketTaken { other, .. }
            | Self::NameTaken { other, .. } => Some(other),
            Self::PublicWithoutAuth { auth, .. }
            | Self::AnyOriginWithAmbientCredentials { auth, .. } => Some(auth),
            Self::Unreadable { .. }
            | Self::Syntax { .. }
            | Self::UnknownKey { .. }
            | Self::Renamed { .. }
            | Self::IsTable
            | Self::SetTwice
            | Self::NotUnicode
            | Self::Value { .. }
            | Self::AuthTable { .. }
            | Self::Auth(_)
            | Self::File { .. }
            | Self::Tls { .. }
            | Self::Missing { .. } => None,
        }
    }
}

fn ways_out(unless: Option<&str>) -> String {
    unless.map_or_else(
        || " or listen on 127.0.0.1".to_owned(),
        |key| format!(", listen on 127.0.0.1, or set {key} = true"),
    )
}

fn with_unit(example: Option<&str>) -> String {
    example.map_or_else(String::new, |example| {
        format!(" and written with a unit, such as {example}")
    })
}

fn expected_list(expected: &[String]) -> String {
    if expected.is_empty() {
        String::new()
    } else {
        format!(", expected one of {}", expected.join(", "))
    }
}

//! What a client may ask of the hub: [`Command`].
//!
//! In: what a dialect has read from a client's bytes. Out: values the hub acts on, borrowed from these bytes.
//! Invariants: recipients are collected by the hub's own rules ([`Recipients`]), so no dialect can exceed them;
//! texts keep the spelling their author chose ([`JsonText`]), because old clients are promised it byte for byte.

use std::{borrow::Cow, collections::HashSet};

use crate::{Reason, Refusal, UserId};

/// One request of a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Command<'a> {
    /// Store and deliver a message.
    Publish(Draft<'a>),
    /// A message that keeps the rules of the dialect, but is beyond a bound of this server: its sender is told, and
    /// goes on.
    Refuse {
        /// The bound.
        refusal: Refusal,
        /// The author's name for the message, as in [`Draft::reference`].
        reference: Option<JsonText<'a>>,
    },
}

/// A message that has no id yet.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// The type of the message; the dialect bounds its length.
    pub kind: JsonText<'a>,
    /// Who claims to have sent it.
    pub sender: UserId,
    /// At least one.
    pub recipients: Recipients,
    /// The text; empty where there is none.
    pub text: JsonText<'a>,
    /// Any JSON, `null` where there is none. The dialect has checked that it is JSON which strict readers take.
    pub data: Cow<'a, str>,
    /// The author's own time stamp; `None`: the server's time.
    pub timestamp: Option<JsonText<'a>>,
    /// The author's name for the message, given back in the notices about it; the dialect bounds its length.
    pub reference: Option<JsonText<'a>>,
}

impl Draft<'_> {
    /// Whether it is for the administrator alone: nobody else is among the recipients.
    pub fn is_for_bot(&self) -> bool {
        self.recipients.as_slice().iter().all(UserId::is_bot)
    }

    /// An upper bound of its size for one recipient, in bytes, whatever the dialect.
    pub(crate) fn size_max(&self) -> usize {
        // Keys, punctuation, the message id and a server-made time stamp are under 160 bytes.
        160 + self.sender.json_len_max()
            + self.data.len()
            + self.text.literal().len()
            + self.kind.literal().len()
            + self
                .timestamp
                .as_ref()
                .map_or(0, |text| text.literal().len())
    }
}

/// A text as a JSON string literal, quotes included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText<'a>(Cow<'a, str>);

impl<'a> JsonText<'a> {
    /// The empty text.
    pub const EMPTY: JsonText<'static> = JsonText(Cow::Borrowed("\"\""));

    /// A literal as its author wrote it, which a JSON reader has taken. `None` when it is no string.
    pub fn from_literal(literal: &'a str) -> Option<Self> {
        let is_string = literal.len() >= 2 && literal.starts_with('"') && literal.ends_with('"');
        is_string.then_some(Self(Cow::Borrowed(literal)))
    }

    /// A plain text, which is written as a literal.
    pub fn quote(text: &str) -> JsonText<'static> {
        // Strings always serialize.
        JsonText(Cow::Owned(serde_json::to_string(text).unwrap_or_default()))
    }

    /// The literal.
    pub fn literal(&self) -> &str {
        &self.0
    }

    /// The text itself; borrowed unless it has escapes. `None` when the escapes are broken.
    pub fn decode(&self) -> Option<Cow<'_, str>> {
        decode(&self.0)
    }
}

/// The text of a JSON string literal.
pub(crate) fn decode(literal: &str) -> Option<Cow<'_, str>> {
    if literal.contains('\\') {
        return serde_json::from_str(literal).ok().map(Cow::Owned);
    }
    let text = literal.strip_prefix('"')?.strip_suffix('"')?;
    Some(Cow::Borrowed(text))
}

/// Who is to get a message: a bounded set in the order in which each is first named, made by
/// [`Settings::recipients`](crate::Settings::recipients).
#[derive(Clone, Debug)]
pub struct Recipients {
    users: Vec<UserId>,
    /// The same once they are many.
    named: HashSet<UserId>,
    max: usize,
    keeps_repeats: bool,
}

/// A list of recipients broke a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipientsError {
    /// It is empty.
    #[error("expected at least one recipient")]
    None,
    /// It is longer than the configured `recipients_max`.
    #[error("expected at most {max} recipients")]
    TooMany {
        /// The limit.
        max: usize,
    },
}

impl Recipients {
    pub(crate) fn new(max: usize, keeps_repeats: bool) -> Self {
        Self {
            users: Vec::with_capacity(1),
            named: HashSet::new(),
            max,
            keeps_repeats,
        }
    }

    /// Adds one. No more than one beyond the bound are kept, however many are added.
    pub fn add(&mut self, user: UserId) {
        if self.users.len() <= self.max && (self.keeps_repeats || self.is_new(&user)) {
            self.users.push(user);
        }
    }

    /// Checks the bounds.
    pub fn finish(self) -> Result<Self, RecipientsError> {
        match self.users.len() {
            0 => Err(RecipientsError::None),
            len if len > self.max => Err(RecipientsError::TooMany { max: self.max }),
            _ => Ok(self),
        }
    }

    /// All of them; 0 may occur.
    pub fn as_slice(&self) -> &[UserId] {
        &self.users
    }

    /// Takes out those that are not `wanted`, in their order.
    pub(crate) fn take_out(&mut self, wanted: impl Fn(&UserId) -> bool) -> Vec<UserId> {
        let (kept, out) = std::mem::take(&mut self.users)
            .into_iter()
            .partition(wanted);
        self.users = kept;
        out
    }

    pub(crate) fn into_users(self) -> Box<[UserId]> {
        self.users.into_boxed_slice()
    }

    fn is_new(&mut self, user: &UserId) -> bool {
        if self.users.len() < SEARCHED_MAX {
            return !self.users.contains(user);
        }
        if self.named.is_empty() {
            self.named.extend(self.users.iter().cloned());
        }
        self.named.insert(user.clone())
    }
}

/// Shorter lists are searched instead of hashed.
const SEARCHED_MAX: usize = 8;

/// A session did not take a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The sender is not the user of the connection.
    #[error("the sender is not the user of the connection")]
    ForeignSender,
    /// The session has ended.
    #[error("the session has ended")]
    Ended(Reason),
}

//! What clients of wsserver speak: [`Classic`].
//!
//! In: JSON envelopes in text or binary messages, or in a REST body ([`parse`]). Out: envelopes with their keys in
//! alphabetical order, and notices of the same shape ([`notice`]). Invariants: `data`, `text`, `type` and a
//! client's `timestamp` leave byte for byte as they came; nothing that leaves is nested too deep for common JSON
//! readers, has unpaired surrogates, or numbers that those readers do not take. Every byte,
//! code and text is a promise to old clients: docs/messaging.md, and the server's transcripts.

mod notice; // what became of messages
mod parse; // bytes → draft
mod scan; // what the JSON reader does not check

use tidewire_hub::{
    Command, ConnectError, DismissalCause, MessageId, Notice, Publication, Reason, Settings, UserId,
};

use crate::{Close, Dialect, Ending, Payload};

/// The dialect of old clients, and the default.
#[derive(Clone, Copy, Debug)]
pub struct Classic;

/// [`Classic`] with every id as a JSON string in what the server says: JSON readers of JavaScript and others round
/// numbers above 2^53, and a reply would go to somebody else. What clients may send is the same.
#[derive(Clone, Copy, Debug)]
pub struct ClassicStringIds;

/// How ids are written.
#[derive(Clone, Copy)]
enum Ids {
    /// Numbers as JSON numbers, names as strings.
    AsThemselves,
    AsStrings,
}

impl Ids {
    fn write(self, id: &UserId, out: &mut String) {
        match self {
            Self::AsThemselves => id.write_json(out),
            Self::AsStrings => id.write_json_string(out),
        }
    }
}

impl Dialect for Classic {
    type Error = EnvelopeError;
    type StringIds = ClassicStringIds;
    const SUBPROTOCOL: &'static str = "tidewire.classic";

    fn decode<'a>(
        payload: &'a [u8],
        _user: &UserId,
        settings: &Settings,
    ) -> Result<Command<'a>, EnvelopeError> {
        parse::parse(payload, settings.recipients())
    }

    fn publication(publication: &Publication) -> Option<Payload> {
        Some(Payload::Text(write(publication, Ids::AsThemselves)))
    }

    fn notice(notice: &Notice, user: &UserId) -> Option<Payload> {
        let text = notice::write(notice, user, Ids::AsThemselves);
        Some(Payload::Text(text))
    }

    fn close(ending: &Ending<'_, EnvelopeError>) -> Close {
        match ending {
            Ending::Session(reason) => Close::new(code(*reason), reason_text(*reason)),
            Ending::Refused(error) => Close::new(refused_code(*error), error.to_string()),
            Ending::Request(text) => Close::new(INVALID_REQUEST, (*text).to_owned()),
            Ending::Unauthorized => Close::new(UNAUTHORIZED, "Unauthorized"),
            Ending::Blocked(reason) => Close::new(FORBIDDEN, (*reason).to_owned()),
            Ending::Denied { code, reason } => {
                Close::new(code.unwrap_or(FORBIDDEN), (*reason).to_owned())
            }
            Ending::Dismissed(dismissal) => {
                let code = match dismissal.cause {
                    DismissalCause::Blocked => FORBIDDEN,
                    DismissalCause::Operator | _ => DISMISSED,
                };
                let reason = dismissal.reason.as_ref().to_owned();
                Close::new(dismissal.code.unwrap_or(code), reason)
            }
            Ending::TooMany { what, retry_after } => Close::new(
                TOO_MANY,
                format!("Too many {what}, try again in {retry_after} seconds"),
            ),
            Ending::CannotTell => {
                Close::new(TRY_AGAIN_LATER, "The credentials cannot be checked now")
            }
            Ending::Expired => Close::new(EXPIRED, "The credentials have expired"),
            Ending::Invalid(error) => Close::new(
                INVALID_PAYLOAD,
                format!("Invalid payload. {}", error.rule()),
            ),
            Ending::ForeignSender => Close::new(
                INVALID_PAYLOAD,
                "Invalid payload. $.sender must be the id of this connection",
            ),
            Ending::Unanswered => Close::new(INACTIVE, "Dangling connection"),
            Ending::Inactive { limit, quiet } => Close::new(
                INACTIVE,
                format!("Inactive more than {limit} seconds ({quiet})"),
            ),
        }
    }
}

impl Dialect for ClassicStringIds {
    type Error = EnvelopeError;
    type StringIds = Self;
    const SUBPROTOCOL: &'static str = Classic::SUBPROTOCOL;

    fn decode<'a>(
        payload: &'a [u8],
        user: &UserId,
        settings: &Settings,
    ) -> Result<Command<'a>, EnvelopeError> {
        Classic::decode(payload, user, settings)
    }

    fn publication(publication: &Publication) -> Option<Payload> {
        Some(Payload::Text(write(publication, Ids::AsStrings)))
    }

    fn notice(notice: &Notice, user: &UserId) -> Option<Payload> {
        let text = notice::write(notice, user, Ids::AsStrings);
        Some(Payload::Text(text))
    }

    fn close(ending: &Ending<'_, EnvelopeError>) -> Close {
        Classic::close(ending)
    }
}

fn code(reason: Reason) -> u16 {
    match reason {
        Reason::StoreFailed | Reason::StoreStuck => INTERNAL_ERROR,
        Reason::StoreClosed => SERVICE_RESTART,
        // Whatever a later hub may say, a new connection will find out.
        Reason::Overtaken | Reason::MailboxReset | Reason::Overloaded | _ => TRY_AGAIN_LATER,
    }
}

fn reason_text(reason: Reason) -> &'static str {
    match reason {
        Reason::StoreFailed => "the message store has failed",
        Reason::StoreStuck => "the store reads nothing",
        Reason::StoreClosed => "the message store is closed",
        Reason::Overtaken => {
            "slow consumer: messages were delivered to another connection or have expired"
        }
        Reason::MailboxReset => "the mailbox was reset, please reconnect",
        Reason::Overloaded | _ => "the server is busy",
    }
}

fn refused_code(error: ConnectError) -> u16 {
    match error {
        ConnectError::StoreClosed => SERVICE_RESTART,
        ConnectError::Stopping
        | ConnectError::TooManySessionsOfUser
        | ConnectError::TooManySessions
        | _ => TRY_AGAIN_LATER,
    }
}

/// The envelope of a message.
fn write(publication: &Publication, ids: Ids) -> String {
    let (data, text) = (publication.data_json(), publication.text_json());
    let (kind, timestamp) = (publication.kind_json(), publication.timestamp_json());
    let (sender, recipients) = (publication.sender(), publication.recipients());
    let mut out = String::with_capacity(len_max(publication));
    out.push_str("{\"data\":");
    out.push_str(data);
    out.push_str(",\"id\":\"");
    publication.id().write(&mut out);
    out.push_str("\",\"recipients\":[");
    for (index, recipient) in recipients.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        ids.write(recipient, &mut out);
    }
    out.push_str("],\"sender\":");
    ids.write(sender, &mut out);
    out.push_str(",\"text\":");
    out.push_str(text);
    out.push_str(",\"timestamp\":");
    out.push_str(timestamp);
    out.push_str(",\"type\":");
    out.push_str(kind);
    out.push('}');
    out
}

/// An upper bound of what [`write`] makes.
fn len_max(publication: &Publication) -> usize {
    let recipients = publication.recipients().iter();
    let ids: usize = recipients.map(|id| id.json_len_max() + 1).sum();
    KEYS_LEN
        + MessageId::TEXT_LEN
        + ids
        + publication.sender().json_len_max()
        + publication.data_json().len()
        + publication.text_json().len()
        + publication.kind_json().len()
        + publication.timestamp_json().len()
}

/// Keys and punctuation of an envelope.
const KEYS_LEN: usize = 80;

/// The store failed.
const INTERNAL_ERROR: u16 = 1011;
/// The store was closed under a live session: the process is on its way out.
const SERVICE_RESTART: u16 = 1012;
/// The session cannot go on; a new connection can.
const TRY_AGAIN_LATER: u16 = 1013;
/// `?id=` or an option is missing or wrong.
const INVALID_REQUEST: u16 = 4000;
/// The payload broke a rule.
const INVALID_PAYLOAD: u16 = 4001;
/// The client gives no sign of life, or does nothing.
const INACTIVE: u16 = 4010;
/// The operator has ended the session; the client may come back.
const DISMISSED: u16 = 4020;
/// No valid credentials.
const UNAUTHORIZED: u16 = 4050;
/// The user is blocked, or the operator's backend says no: coming back does not help.
const FORBIDDEN: u16 = 4403;
/// Too much in a short time; the reason says when to try again.
const TOO_MANY: u16 = 4429;
/// The credentials were valid when the session began; new ones are needed.
const EXPIRED: u16 = 4401;

/// A payload broke a rule; the variants stand in the order of the checks. Clients and their
/// logs know the texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// No bytes.
    #[error("Empty message")]
    Empty,
    /// No UTF-8, no JSON, no object, a repeated key or an unpaired surrogate.
    #[error("Invalid payload: {reason}")]
    Json {
        /// What the JSON reader says.
        reason: String,
    },
    /// `type` is missing or no string.
    #[error("Invalid payload: $.type must be a string")]
    Type,
    /// `sender` is missing or no user id.
    #[error(
        "Invalid payload: $.sender must be an id: an unsigned 64-bit number or a string of 1 to 128 bytes"
    )]
    Sender,
    /// `recipients` is missing, no array, or an element is no user id.
    #[error(
        "Invalid payload: $.recipients[] must be ids: unsigned 64-bit numbers or strings of 1 to 128 bytes"
    )]
    Recipients,
    /// `recipients` is empty.
    #[error("Invalid payload: $.recipients[] must contain at least 1 id")]
    NoRecipients,
    /// `type` is `text`, and `text` is missing or no string.
    #[error("Invalid payload: $.text must be string")]
    Text,
}

impl EnvelopeError {
    /// The longest type, in bytes: it becomes a key of filters and metrics. The longest in use by old
    /// clients have about 30.
    pub const TYPE_LEN_MAX: usize = 64;

    /// The text without its first words, for who has said them already.
    fn rule(&self) -> String {
        let text = self.to_string();
        match text.strip_prefix("Invalid payload: ") {
            Some(rule) => rule.to_owned(),
            None => text,
        }
    }
}

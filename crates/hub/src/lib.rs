//! The messaging core: users, sessions, envelopes and their delivery. It knows no sockets.
//!
//! In: payloads from connections and the REST API. Out: encoded frames for connections, commands
//! to a [`Mailbox`](tidewire_engine::Mailbox). Invariant: a message is accepted once it is on
//! disk for every recipient who has room, every live session of a recipient gets it once and in order, and it
//! leaves the mailbox only when a connection has confirmed it.
//!
//! The way of a message: [`Session::submit`] → [`Envelope::parse`] → one append for all
//! recipients → in its completion: copies for the sender, then each live session's outbox →
//! [`Session::poll_outgoing`] → the wire → [`Session::confirm`] → the mailbox forgets it and the
//! sender gets a receipt.
#![forbid(unsafe_code)]

// The words: who, which message, when, how a connection ends, with which limits.
mod clock;
mod close;
mod config;
mod message_id;
mod user_id;
// A message: as JSON, and in a mailbox.
mod encoding;
mod envelope;
mod stored;
// A session: its queue, how it is fed, its lock and wakers.
mod delivery;
mod live;
mod outbox;
mod redelivery;
// All of them together.
mod error;
mod gate;
mod hub;
mod reading;
mod registry;
mod stats;
mod submission;
mod sync;
mod user_stats;
// A connection's handle on all of this.
mod session;

pub use clock::{Clock, SystemClock};
pub use close::{End, cut_reason};
pub use config::{Config, ConfigError, Settings};
pub use envelope::{Envelope, EnvelopeError};
pub use error::{ApiError, ConnectError, Refusal};
pub use hub::{Hub, OnPurged, PurgeSelection};
pub use live::Outgoing;
pub use message_id::{MessageId, MessageIdError};
pub use outbox::Mark;
pub use session::{Begin, Connect, Session, Unproven};
pub use stats::HubStats;
pub use submission::{Accepted, OnSubmitted, RefusedRecipient};
pub use user_id::{UserId, UserIdError};
pub use user_stats::Stat;

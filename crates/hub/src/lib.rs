//! The messaging core: users, sessions, publications and their delivery. It knows no sockets and no wire:
//! how a client speaks is for a dialect to say.
//!
//! In: [`Command`]s of connections and drafts of the REST API. Out: [`Event`]s for connections, commands
//! to a [`Mailbox`](tidewire_engine::Mailbox). Invariant: a message is accepted once it is on
//! disk for every recipient who has room, every live session of a recipient gets it once and in order, and it
//! leaves the mailbox only when a connection has confirmed it.
//!
//! The way of a message: [`Session::submit`] → [`Publication`] → one append for all
//! recipients → in its completion: copies for the sender, then each live session's send queue →
//! [`Session::poll_outgoing`] → a dialect and the wire → [`Session::confirm`] → the mailbox forgets it and the
//! sender gets a receipt.
#![forbid(unsafe_code)]

// The words: who, which message, when, with which limits.
mod clock;
mod config;
mod message_id;
mod user_id;
// What is said: requests, messages, answers; and how a message lies in a mailbox.
mod body;
mod command;
mod event;
mod publication;
mod record; // an event of the outbox, and its bytes
// A session: its queue, how it is fed, its lock and wakers.
mod delivery;
mod live;
mod redelivery;
mod send_queue;
// All of them together.
mod error;
mod dismissal; // live sessions seen, and ended, from outside
mod mailboxes; // mailboxes seen from outside
mod events_out; // what other systems are told
mod executor;
mod fan_out;
mod gate;
mod hub;
mod origin; // who submitted a message, and the outcome they hear
mod reading;
mod refusing; // what is not taken
mod session_table;
mod stats;
mod submission;
mod trace; // what has become of messages
mod user_stats;
// A connection's handle on all of this.
mod session;

pub use clock::{Clock, SystemClock};
pub use command::{Command, CommandError, Draft, JsonText, Recipients, RecipientsError};
pub use config::{Config, ConfigError, Settings};
pub use dismissal::{Dismissal, DismissalCause, SessionInfo};
pub use error::{ApiError, ConnectError, Refusal};
pub use event::{Event, Notice, Reason};
pub use events_out::EventSelection;
pub use executor::{Executor, Inline, Job};
pub use hub::{Hub, OnIsOnline, OnOnline, OnPurged, Ports, PurgeSelection};
pub use live::Outgoing;
pub use mailboxes::{OnMailboxPage, OnWaiting, Waiting, WaitingPage, mailbox_user};
pub use message_id::{MessageId, MessageIdError};
pub use origin::{Accepted, OnSubmitted, RefusedRecipient};
pub use publication::Publication;
pub use record::{EventRecord, EventRecordError, SessionEnd, SessionRecord};
pub use send_queue::Mark;
pub use session::{Begin, Connect, Session, Unproven};
pub use stats::HubStats;
pub use trace::{Departure, TraceConfig, TraceEntry, TraceStats, TraceStep};
pub use user_id::{UserId, UserIdError};
pub use user_stats::Stat;

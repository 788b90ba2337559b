//! Events out: what happens in the messaging server, passed on to other systems.
//!
//! In: the events of an [`Outbox`](tidewire_engine::Outbox), which are on disk with what caused them. Out: deliveries to
//! [`Target`]s, each by a worker of its own with a cursor of its own. Invariants: an event is done with
//! for a target only when the target has taken it, one of its fallbacks has, or it is a dead letter; events of one user
//! never overtake each other on the way to a target; a target that hangs costs its own worker, and nobody else.
//!
//! ```text
//! outbox ─▶ worker (reads, filters, keeps order per user) ─▶ batch ─▶ Target::deliver ─▶ cursor
//!                 ▲ waits, tries again, breaker                └▶ fallback ─▶ dead letter
//! ```
//!
//! A new kind of target is a type with [`Target`], a table of keys in [`config`], and a line in [`targets`].
#![forbid(unsafe_code)]

pub mod config; // the tables [events] and [[targets]]
mod settings; // what they become
mod event; // an event as targets see it
mod filter; // which events a target gets
mod target; // the trait
pub mod targets; // the kinds there are
mod store; // the outbox, awaited
mod window; // events in hand: order, attempts, what is next
mod pace; // how long to wait: back-off and breaker
mod worker; // one target's task
mod stats; // counters of a target
mod notifier; // all of them together

pub use config::{EventFormat, EventsConfig, TargetConfig};
pub use event::{Event, EventContent, RenderMessage};
pub use filter::Filter;
pub use notifier::{Notifier, Replayed, StartError, TargetStatus, Targets};
pub use pace::{Backoff, BreakerState};
pub use settings::{Settings, TargetSettings, check};
pub use stats::TargetCounts;
pub use store::StoreError;
pub use target::{Delivery, DeliveryError, Fault, Target};

//! The promises of every adapter of a port, as tests that an adapter's own tests call.
//!
//! In: an adapter that can be opened ([`MailboxAdapter`], [`OutboxAdapter`], [`RegistryAdapter`]). Out: a test per promise, by a macro:
//!
//! ```ignore
//! tidewire_engine::mailbox_contract!(mailbox, MyMailboxes);
//! tidewire_engine::outbox_contract!(outbox, MyOutbox);
//! tidewire_engine::registry_contract!(registry, MyRegistry);
//! ```
//!
//! Behind the feature `contract`, for tests only: everything in here panics when a promise is broken.
#![expect(
    clippy::missing_panics_doc,
    reason = "a broken promise is a panic, as in any test"
)]

pub mod blocking; // commands that wait for their completion
#[doc(hidden)]
pub mod mailbox; // a function per promise
#[doc(hidden)]
pub mod outbox; // the same for outboxes
#[doc(hidden)]
pub mod registry; // the same for registries

pub use mailbox::{Limits, MailboxAdapter};
pub use outbox::OutboxAdapter;
pub use registry::RegistryAdapter;

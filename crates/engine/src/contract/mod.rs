//! What every adapter of a port promises, as tests that an adapter's own tests call.
//!
//! In: an adapter that can be opened and opened again ([`MailboxAdapter`]). Out: a test per promise, by a macro:
//!
//! ```ignore
//! tidewire_engine::mailbox_contract!(contract, MyAdapter);
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

pub use mailbox::{Limits, MailboxAdapter};

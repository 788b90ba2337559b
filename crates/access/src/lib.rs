//! [`Gate`]: an [`Authenticator`](tidewire_auth::Authenticator) that asks whom it needs to ask.
//!
//! In: requests, as far as authentication looks at them. Out: who it is, or a denial. Invariants: a service that does
//! not answer in time, that answers garbage, that redirects, or that cannot be reached, lets nobody in; how often it is
//! asked, how long, and how much of what it said is remembered, is bounded; nothing that a client or an operator keeps
//! secret is written to a log.
#![forbid(unsafe_code)]

mod gate; // the decision, with the questions
mod remote; // services that know credentials
mod cache; // what they have said
mod breaker; // while they do not answer
mod key_server; // keys of tokens
mod client; // how all of them are asked
mod certificate; // whom mutual TLS has verified

pub use certificate::certificate_names;
pub use gate::{Denials, Gate, GateError, denials};

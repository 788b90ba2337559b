//! Sans-I/O WebSocket protocol core (RFC 6455).
#![forbid(unsafe_code)]

mod prepared;

pub use prepared::Prepared;

//! The first bytes of a connection that begins with an HTTP request.
//!
//! In: a connection. Out: its first request head, read once, bounded and within the deadline of the opening; or
//! the connection with the request put back, for an HTTP server.

pub(crate) mod head; // the first bytes of a connection
mod unrouted; // a request on its way to an HTTP server

pub use unrouted::{Fallback, Unrouted};

//! From a request to an endpoint.
//!
//! In: settings, and what a request says. Out: a live endpoint, which counts its connections.

pub(crate) mod request; // what is asked
pub(crate) mod table; // names and routes → endpoints
pub(crate) mod target; // a live endpoint
pub(crate) mod connections; // numbers

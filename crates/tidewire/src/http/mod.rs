//! HTTP/1.1 for requests that are no WebSocket upgrade: listeners of HTTP alone, and the requests that a WebSocket
//! server has no use for.
//!
//! In: a connection, whose first request head is read here, bounded and within the deadline of the opening. Out:
//! answers of a `tower` service (an axum router is one), through hyper. Invariants: every request of a connection is
//! held to the same strictness and the same limits; its head must arrive within a deadline; the last answer arrives,
//! also at a client that goes on sending; a client that does not read its answer is cut, and what answers hold in memory is bounded;
//! a draining server finishes the request under way and closes.
//!
//! With the feature `http`; without it only the head of the first request is read.

pub(crate) mod head; // the first bytes of a connection
mod unrouted; // a request on its way to an HTTP server
#[cfg(feature = "http")]
mod chunked; // where a chunked body ends
#[cfg(feature = "http")]
mod framing; // where each request begins and ends
#[cfg(feature = "__fuzz")]
mod passed; // what passes the framing, for fuzz targets
#[cfg(feature = "http")]
mod requests; // a client's stream as hyper may read it
#[cfg(feature = "http")]
mod body; // a request's body, within limits
#[cfg(feature = "http")]
mod serve; // hyper underneath, a tower service on top
#[cfg(feature = "http")]
mod deadline; // a client has to read
#[cfg(feature = "http")]
mod held; // what answers hold in memory
#[cfg(feature = "http")]
mod files; // files inside the binary
#[cfg(feature = "http")]
mod access; // host, credentials: what browsers need
#[cfg(feature = "http")]
mod origin; // which web pages a request may come from

#[cfg(feature = "http")]
pub use access::{challenge, is_behind_proxy, is_loopback_name, is_same_origin, protect_page};
#[cfg(feature = "http")]
pub use body::{BodyError, BodyLimits, RequestBody, read_body};
#[cfg(feature = "http")]
pub use files::{File, file_response};
#[cfg(feature = "http")]
pub use held::AnswerBudget;
#[cfg(feature = "http")]
pub use origin::{Difference, ForeignOrigin, RequestTarget, check_origin, origin_matches};
#[cfg(feature = "__fuzz")]
#[doc(hidden)]
pub use passed::{Passed, PassedEnd, passed};
#[cfg(feature = "http")]
pub use serve::{Config, Http, fallback};
pub use unrouted::{Fallback, Unrouted};

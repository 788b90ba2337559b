//! HTTP/1.1 and HTTP/2: servers of hooks (`Handler`) or of a `tower` service, with a cache of files; a client; and the
//! requests that a WebSocket server has no use for (`fallback`, HTTP/1.1).
//!
//! In: a connection, whose first request head is read here, bounded and within the deadline of the opening. Out:
//! answers, out of the cache or of a handler or service (an axum router is one), through hyper. Invariants: every request of a connection is
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
mod batch; // small answers that leave together
#[cfg(feature = "http")]
mod body; // a request's body, within limits
#[cfg(feature = "http")]
mod config; // how HTTP is spoken
#[cfg(feature = "http")]
mod stats; // how much was answered
#[cfg(feature = "http")]
mod shortcuts; // what needs no service
#[cfg(feature = "http")]
mod session; // a connection, as hooks see it
#[cfg(feature = "http")]
mod handler; // hooks instead of a service
#[cfg(feature = "http")]
mod builder; // requests and responses as they are mostly made
#[cfg(feature = "http")]
mod answering; // from a request to its answer
#[cfg(feature = "http")]
mod serve; // hyper underneath, a tower service on top
#[cfg(all(feature = "http", feature = "http2"))]
mod http2; // many requests at a time
#[cfg(feature = "http")]
mod progress; // of those
#[cfg(feature = "http")]
mod client; // requests of our own
#[cfg(feature = "http")]
mod deadline; // a client has to read
#[cfg(feature = "http")]
mod held; // what answers hold in memory
#[cfg(feature = "http")]
mod host; // whom a request asks
#[cfg(feature = "http")]
mod content_type; // by the name of a file
#[cfg(feature = "http")]
mod conditional; // what a client already has
#[cfg(feature = "http")]
mod range; // which bytes it wants
#[cfg(feature = "http")]
mod date; // of an answer
#[cfg(feature = "http")]
mod files; // files inside the binary
#[cfg(feature = "http")]
mod cache; // files and responses in memory
#[cfg(feature = "http")]
mod access; // host, credentials: what browsers need
#[cfg(feature = "http")]
mod origin; // which web pages a request may come from

#[cfg(feature = "http")]
pub use access::{challenge, is_behind_proxy, is_loopback_name, is_same_origin, protect_page};
#[cfg(feature = "http")]
pub use body::{BodyError, BodyLimits, RequestBody, read_body, read_body_counted};
#[cfg(feature = "http")]
pub use builder::{
    ALL_METHODS, CookieOptions, Printed, add_cookie, cookies, error_response, get_response,
    head_response, ok_response, options_response, request, request_with_body, set_cookie,
    trace_response,
};
#[cfg(feature = "http")]
pub use cache::{CacheConfig, CacheError, CachedBody, FileCache};
#[cfg(feature = "http")]
pub use client::{AllowAddress, Client, ClientConfig, ClientHooks, RequestError, ResponseBody};
#[cfg(feature = "http")]
pub use config::Config;
#[cfg(feature = "http")]
pub use content_type::content_type;
#[cfg(feature = "http")]
pub use files::{File, file_response};
#[cfg(feature = "http")]
pub use handler::{Handler, HandlerService};
#[cfg(feature = "http")]
pub use held::AnswerBudget;
#[cfg(feature = "http")]
pub use origin::{Difference, ForeignOrigin, RequestTarget, check_origin, origin_matches};
#[cfg(feature = "__fuzz")]
#[doc(hidden)]
pub use passed::{Passed, PassedEnd, passed};
#[cfg(feature = "http")]
pub use serve::{Http, fallback, fallback_handler};
#[cfg(feature = "http")]
pub use session::Session;
#[cfg(feature = "http")]
pub use shortcuts::ReceivedHead;
#[cfg(feature = "http")]
pub use stats::Stats;
pub use unrouted::{Fallback, Unrouted};

/// The guide's examples are run.
#[cfg(all(doctest, feature = "http", feature = "blocking"))]
#[doc = include_str!("../../../../docs/guide/http.md")]
struct Guide;

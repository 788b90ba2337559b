//! The gateway over loopback sockets, with servers and clients of the toolkit at its sides.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admin;
mod classic;
mod mux;
mod operate;
mod pinned;
mod resume;
mod secure;
mod support;

//! Behaviour of the whole server in this process, over loopback sockets.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod desk; // a server, users, HTTP calls

mod access; // credentials and TLS on both listeners
mod delivery;
mod proof;
mod raw; // what happens to messages when connections misbehave
mod rest; // the REST API beyond what foreign clients check

//! Targets that need no server, each fed with events of a store.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod feed; // a store with events and their targets

mod files; // lines of a file
mod sockets; // lines and datagrams of sockets

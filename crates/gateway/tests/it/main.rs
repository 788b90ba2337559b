//! The gateway over loopback sockets, with servers and clients of the toolkit at its sides.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(
    clippy::disallowed_methods,
    reason = "a backend tells its test what it got without waiting for it"
)]
#![expect(
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    reason = "a test knows its text and what it looks for"
)]

mod admin;
mod classic;
mod dead_peers;
mod floods;
mod healing;
mod stopped_readers;
mod hanging_upstreams;
mod hostile_mux;
mod interleaving;
mod limits;
mod memory;
mod mux;
mod operate;
mod pinned;
mod receipts;
mod resume;
mod secure;
mod smhandshake_bytes;
mod support;
mod unread_answers;
mod upgrade_smuggling;
mod backend_choice;
mod behind_proxies;
mod by_name;
mod client_address;
mod bad_backends;
mod wire;
mod answers;
mod checks;
mod clients_at_fault;
mod lost_backends;
#[cfg(unix)]
mod unix_sockets;

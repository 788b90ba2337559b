//! Fuzz targets, each a plain function of bytes that panics when a promise is broken.
//!
//! In: bytes, from libFuzzer (`fuzz/libfuzzer`), from the corpus, or from a seed (the tests of
//! this crate). Out: nothing, or a panic that names the promise. Invariant: a target is a pure
//! function of its input, so that a finding can be replayed and joins the corpus.
#![forbid(unsafe_code)]

mod wire; // frames built and read independently of the crate under test
mod script; // arbitrary frame streams: valid ones and nearly valid ones
mod model; // RFC 6455's receiving rules, written slowly
mod drive; // feeds a connection in pieces and notes what happens
mod handshake; // target: heads, addresses, accept keys
mod requests; // target: the requests of an HTTP/1 connection, against hyper
mod proxy; // target: PROXY headers, answers of proxies
mod forwarded; // target: what proxies tell of clients
mod smhandshake; // target: SocketMaster's events, opening, route lines
mod frames; // target: received bytes against the model, in any cut, within the limits
mod chunks; // target: messages taken in pieces, against the model
mod connection; // target: random operations on one connection
mod utf8; // target: text validation against std
mod close_frame; // target: close codes and reasons, in and out
mod mux; // target: tidewire.mux.v1, its frames, credit and streams
mod fbe; // target: the simple protocol in Fast Binary Encoding
mod dialect; // target: payloads of the classic dialect
mod random; // seeded inputs and mutations, for runs without libFuzzer

pub use drive::{Seen, receive_all};
pub use random::Random;
pub use script::Script;

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// How it is called on the command line; its corpus is `fuzz/corpus/<name>`.
    pub name: &'static str,
    /// Panics when `data` breaks a promise.
    pub run: fn(data: &[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "request_head",
        run: handshake::request_head,
    },
    Target {
        name: "response_head",
        run: handshake::response_head,
    },
    Target {
        name: "url",
        run: handshake::url,
    },
    Target {
        name: "accept_key",
        run: handshake::accept_value,
    },
    Target {
        name: "proxy_header",
        run: proxy::header,
    },
    Target {
        name: "proxy_tunnel",
        run: proxy::tunnel,
    },
    Target {
        name: "http_requests",
        run: requests::run,
    },
    Target {
        name: "forwarded",
        run: forwarded::run,
    },
    Target {
        name: "smhandshake_event",
        run: smhandshake::event,
    },
    Target {
        name: "smhandshake_session",
        run: smhandshake::session,
    },
    Target {
        name: "route_line",
        run: smhandshake::route_line,
    },
    Target {
        name: "frames",
        run: frames::raw,
    },
    Target {
        name: "frame_script",
        run: frames::scripted,
    },
    Target {
        name: "chunks",
        run: chunks::run,
    },
    Target {
        name: "connection",
        run: connection::run,
    },
    Target {
        name: "utf8",
        run: utf8::run,
    },
    Target {
        name: "close_frame",
        run: close_frame::run,
    },
    Target {
        name: "mux_frame",
        run: mux::frame,
    },
    Target {
        name: "mux_stream",
        run: mux::stream,
    },
    Target {
        name: "fbe_stream",
        run: fbe::stream,
    },
    Target {
        name: "dialect_classic",
        run: dialect::classic,
    },
];

//! Behaviour of the toolkit: the driver over scripted streams in virtual time, servers and
//! clients over loopback sockets.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[cfg(feature = "tls")]
mod balancer;
#[cfg(feature = "blocking")]
mod blocking;
#[cfg(feature = "deflate")]
mod compression;
mod accepting;
mod addresses;
mod any_stream;
mod driver;
#[cfg(feature = "futures")]
mod futures;
mod mux;
mod handler;
#[cfg(all(unix, feature = "http", feature = "tls", feature = "udp"))]
mod hooks;
mod hostile;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod http_connections;
#[cfg(all(feature = "http", feature = "tls"))]
mod http_counts;
#[cfg(feature = "http")]
mod http_client;
#[cfg(feature = "http")]
mod http_files;
#[cfg(feature = "http")]
mod http_hooks;
#[cfg(all(feature = "http", feature = "http2"))]
mod http_over_http2;
#[cfg(feature = "http")]
mod http_pipelining;
#[cfg(feature = "http")]
mod http_slow_clients;
#[cfg(feature = "http")]
mod other_protocols;
#[cfg(feature = "http2")]
mod http2;
#[cfg(all(feature = "blocking", feature = "tls"))]
mod inbox;
#[cfg(feature = "deflate")]
mod opening;
mod pongs;
#[cfg(feature = "tls")]
mod proxy;
#[cfg(feature = "tls")]
mod reconnect;
mod deadlines;
mod memory;
mod server_end;
mod waking;
mod wrong_ports;
mod refusals;
mod server;
#[cfg(feature = "tls")]
mod service;
#[cfg(feature = "tls")]
mod session_counts;
mod sharing;
mod runtime;
mod storms; // many connections at once
mod tcp;
mod fbe;
mod topic_order;
#[cfg(all(unix, feature = "tls"))]
mod unix_sockets;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "udp")]
mod udp;

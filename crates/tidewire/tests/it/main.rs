//! Behaviour of the toolkit: the driver over scripted streams in virtual time, servers and
//! clients over loopback sockets.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod balancer;
#[cfg(feature = "deflate")]
mod compression;
mod driver;
mod handler;
#[cfg(feature = "http2")]
mod http2;
mod proxy;
#[cfg(feature = "tls")]
mod reconnect;
mod server;
mod sharing;
#[cfg(feature = "tls")]
mod tls;

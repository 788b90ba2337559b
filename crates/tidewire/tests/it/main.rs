//! Behaviour of the toolkit: the driver over scripted streams in virtual time, servers and
//! clients over loopback sockets.

mod driver;
mod server;
mod tls;

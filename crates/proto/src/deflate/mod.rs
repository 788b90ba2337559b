//! Compression of messages: permessage-deflate (RFC 7692).
//!
//! In: the header fields of the handshake, payloads to send, compressed payloads received. Out:
//! the parameters agreed on, compressed payloads, inflated messages. Invariants: a peer can make
//! this end hold no more than the message limit and one window of [`inflate`]'s scratch; an idle
//! connection without context takeover owns nothing.

mod negotiate; // offer, choice, check of the answer
mod config; // what is wanted
mod pool; // engines shared by all connections
mod inflate; // compressed pieces → message
mod compress; // message → compressed payload

pub use config::DeflateConfig;
pub use negotiate::DeflateParameters;
pub use pool::DeflatePool;

pub(crate) use compress::{Deflater, compress_once};
pub(crate) use inflate::Inflater;
pub(crate) use negotiate::{accept, offer, verify};

#[cfg(test)]
mod tests;

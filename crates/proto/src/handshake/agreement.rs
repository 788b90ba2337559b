//! What an endpoint can agree on with its clients, whichever HTTP they speak (RFC 6455 sections 4.2.2 and 9).
//!
//! In: the endpoint's choices and a request's head. Out: the subprotocol to answer.

use super::{RequestHead, client::check_header};
use crate::DeflateConfig;

/// The choices of an endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcceptOptions<'a> {
    /// Subprotocols this endpoint speaks, best first; the first one that the client offers is
    /// chosen, none if none matches (RFC 6455 section 4.2.2).
    pub subprotocols: &'a [&'a str],
    /// Take an offer of permessage-deflate that these settings can meet. Default `None`: every
    /// extension is ignored.
    pub deflate: Option<&'a DeflateConfig>,
    /// Further fields of the answer, name and value; one that is no field or that the handshake sets itself is
    /// left out.
    pub headers: &'a [(String, String)],
}

impl<'a> AcceptOptions<'a> {
    /// The further fields that may be sent.
    pub(super) fn sendable(&self) -> impl Iterator<Item = &'a (String, String)> + use<'a> {
        let headers = self.headers.iter();
        headers.filter(|(name, value)| check_header(name, value).is_ok())
    }

    /// The best subprotocol that the client offers.
    pub(super) fn subprotocol_for(&self, head: &RequestHead) -> Option<&'a str> {
        let mut ours = self.subprotocols.iter().copied();
        ours.find(|name| offers(head, name))
    }
}

/// Subprotocol names are case-sensitive (section 4.1).
fn offers(head: &RequestHead, name: &str) -> bool {
    head.values("sec-websocket-protocol")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|item| item.trim_ascii() == name.as_bytes())
}

//! What an endpoint can agree on with its clients, whichever HTTP they speak (RFC 6455 sections 4.2.2 and 9).
//!
//! In: the endpoint's choices and a request's head. Out: the subprotocol to answer.

use super::RequestHead;
use crate::DeflateConfig;

/// What an endpoint can agree on.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcceptOptions<'a> {
    /// Subprotocols this endpoint speaks, best first; the first one that the client offers is
    /// chosen, none if none matches (RFC 6455 section 4.2.2).
    pub subprotocols: &'a [&'a str],
    /// Take an offer of permessage-deflate that these settings can meet. Default `None`: every
    /// extension is ignored.
    pub deflate: Option<&'a DeflateConfig>,
}

impl<'a> AcceptOptions<'a> {
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

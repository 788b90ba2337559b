//! A client's request: which dialect it speaks, which endpoint it wants, and whether it may.
//!
//! In: a valid WebSocket request, unanswered. Out: what is run for the connection, or a refusal. Order: a
//! client that offers `tidewire.mux.v1` speaks that; a request that a name or a rule pins is connected
//! through; any other is taken for `SMHandshake`.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use tidewire::ws::{Established, Opening, Refusal};

use crate::{
    client::{admission::refuse, classic, mux, pinned, visitor::Visitor},
    gateway::Gateway,
    routing::table::{self, NotPinned},
    settings::Listener,
};

/// Where a client came in.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) listener: Listener,
    /// With the port that was picked.
    pub(crate) address: OnceLock<SocketAddr>,
}

/// Decides about one request.
pub(crate) async fn enter(
    gateway: Arc<Gateway>,
    door: Arc<Door>,
    opening: Opening,
) -> Option<Established> {
    let address = door.address.get().unwrap_or(&door.listener.address);
    let visitor = Visitor::new(opening.request().clone(), &door.listener, *address);
    let table = gateway.table();
    if table.settings.mux.enabled && mux::is_offered(&visitor) {
        return mux::open(gateway, visitor, opening).await;
    }
    let refusal = match table.pinned(&visitor.request.head) {
        Ok(Some(pinned)) => return pinned::open(gateway, visitor, pinned, opening).await,
        Ok(None) if classic::is_served(&table.settings, &visitor) => {
            return classic::open(gateway, visitor, opening).await;
        }
        Ok(None) => Refusal::new(404, "no endpoint serves this request"),
        Err(NotPinned::Unknown(name)) => table::unknown(&name),
        Err(NotPinned::Ambiguous) => Refusal::new(400, "expected one ROUTENAME"),
    };
    refuse(opening, &refusal).await
}

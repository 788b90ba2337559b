//! A client's request: which dialect it speaks, which endpoint it wants, and whether it may.
//!
//! In: a valid WebSocket request, unanswered. Out: what is run for the connection, or a refusal. Order: a
//! client that offers `tidewire.mux.v1` speaks that; a request that a name or a rule pins is connected
//! through; any other is taken for `SMHandshake`.

use std::sync::{Arc, OnceLock};

use tidewire::{
    net::Address,
    ws::{Established, Opening, Refusal, RefusedRequest},
};

use crate::{
    client::{admission::refuse, classic, client_request::ClientRequest, mux, pinned},
    gateway::Gateway,
    record::Refused,
    routing::table::{self, NotPinned},
    settings::Listener,
};

/// Where a client came in.
#[derive(Debug)]
pub(crate) struct EntryPoint {
    pub(crate) listener: Listener,
    /// With the port that was picked.
    pub(crate) address: OnceLock<Address>,
}

/// Notes a request that was refused, whoever has refused it.
pub(crate) fn note_refused(
    gateway: &Gateway,
    entry_point: &EntryPoint,
    refused: RefusedRequest<'_>,
) {
    let RefusedRequest {
        request, refusal, ..
    } = refused;
    let address = entry_point
        .address
        .get()
        .unwrap_or(&entry_point.listener.address);
    let client_request = ClientRequest::new(request.clone(), &entry_point.listener, address);
    let pinned = gateway.table().pinned(&request.head);
    let endpoint = pinned.ok().flatten();
    let endpoint = endpoint.map(|pinned| pinned.target.endpoint());
    gateway.sessions.refused(Refused {
        id: 0,
        parent: None,
        dialect: None,
        endpoint: endpoint.as_ref().map(|endpoint| endpoint.name.as_str()),
        client: client_request.client.node(),
        request: Some(&client_request.request_line()),
        trace: client_request.trace().as_deref(),
        status: refusal.status,
        reason: &refusal.reason,
    });
}

/// Decides about one request.
pub(crate) async fn dispatch(
    gateway: Arc<Gateway>,
    entry_point: Arc<EntryPoint>,
    opening: Opening,
) -> Option<Established> {
    let address = entry_point
        .address
        .get()
        .unwrap_or(&entry_point.listener.address);
    let client_request =
        ClientRequest::new(opening.request().clone(), &entry_point.listener, address);
    let table = gateway.table();
    if table.settings.mux.enabled && mux::is_offered(&client_request) {
        return mux::open(gateway, client_request, opening).await;
    }
    let refusal = match table.pinned(&client_request.request.head) {
        Ok(Some(pinned)) => return pinned::open(gateway, client_request, pinned, opening).await,
        Ok(None) if classic::is_served(&table.settings, &client_request) => {
            return classic::open(gateway, client_request, opening).await;
        }
        Ok(None) => Refusal::new(404, "no endpoint serves this request"),
        Err(NotPinned::Guarded) => table::guarded(),
        Err(NotPinned::Unknown(name)) => table::unknown(&name),
        Err(NotPinned::Ambiguous) => Refusal::new(400, "expected one ROUTENAME"),
    };
    refuse(opening, &refusal).await
}

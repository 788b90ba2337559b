//! A plain client, connected through to one endpoint.
//!
//! In: a request and its target. Out: the relay that is run until either side ends. Where no rule of the endpoint looks
//! into messages, bytes are relayed as they come, whatever the ends have agreed on; otherwise the
//! gateway speaks WebSocket with each.

mod raw; // bytes
mod messages; // or messages

use std::sync::Arc;

use tidewire::ws::{Established, Opening, Refusal};

use crate::{
    backend::reach::UpstreamRequest,
    client::{
        admission::{self, refuse},
        client_request::ClientRequest,
    },
    gateway::Gateway,
    record::{Begin, Dialect},
    routing::{
        connections::Admitted,
        request::{self, ROUTE_NAME},
        table::Pinned,
        target::{Target, add},
    },
};

/// A client that may use its endpoint, and what is needed to open an upstream for it.
struct AdmittedClient {
    gateway: Arc<Gateway>,
    target: Arc<Target>,
    ask: UpstreamRequest,
    begin: Begin,
    place: Admitted,
}

/// Admits the client, opens an upstream, answers.
pub(crate) async fn open(
    gateway: Arc<Gateway>,
    client_request: ClientRequest,
    pinned: Pinned,
    opening: Opening,
) -> Option<Established> {
    let target = Arc::clone(&pinned.target);
    let endpoint = target.endpoint();
    let head = Arc::clone(&client_request.request.head);
    let climbs = |prefix: &str| {
        request::climbs(
            head.path()
                .strip_prefix(prefix)
                .unwrap_or_else(|| head.path()),
        )
    };
    let passes_path = pinned
        .strip_prefix
        .as_deref()
        .or_else(|| pinned.keep_path.then_some(""));
    if passes_path.is_some_and(climbs) {
        add(&target.counters.refused, 1);
        let refusal = Refusal::new(400, "expected a path without dot segments");
        return refuse(opening, &refusal).await;
    }
    let admitted = admission::admit(&client_request, &endpoint, &target.connections);
    let admitted = admitted.and_then(|place| {
        let backend = gateway.admit_to_backend(client_request.client.ip())?;
        Ok(place.with(backend))
    });
    let place = match admitted {
        Ok(place) => place,
        Err(refusal) => {
            add(&target.counters.refused, 1);
            return refuse(opening, &refusal).await;
        }
    };
    let query = head.query().map(|query| {
        if pinned.by_query {
            request::query_without(query, ROUTE_NAME)
        } else {
            query.to_owned()
        }
    });
    let mut ask = client_request.ask(&endpoint, query);
    ask.subprotocols = request::subprotocols(&head);
    ask.strip_prefix.clone_from(&pinned.strip_prefix);
    ask.keep_path = pinned.keep_path;
    let begin = Begin {
        parent: None,
        endpoint: Some(endpoint.name.as_str().into()),
        dialect: Dialect::Pinned,
        client: client_request.client.node(),
        request: Some(client_request.request_line()),
        trace: client_request.trace(),
    };
    let admitted = AdmittedClient {
        gateway,
        target,
        ask,
        begin,
        place,
    };
    if endpoint.reads_messages() {
        return messages::open(admitted, opening, &endpoint).await;
    }
    raw::open(admitted, opening).await
}

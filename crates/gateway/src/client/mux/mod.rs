//! A connection that speaks `tidewire.mux.v1`: many logical sockets, each with a backend session of its own.
//!
//! In: the client's request. Out: the session that is run for it. The protocol is specified in
//! `docs/protocols/mux-v1.md`; frames and credit are `tidewire::proto::mux`'s.

mod session; // frames of the connection
mod allowance; // how many of them may carry no data
mod stream; // one logical socket

use std::sync::Arc;

use tidewire::{
    proto::mux::SUBPROTOCOL,
    ws::{Answer, Config, Established, Opening},
};

use self::session::MuxSession;
use crate::{
    client::client_request::ClientRequest,
    gateway::Gateway,
    record::{Begin, Dialect},
    routing::request,
};

/// Returns whether a request asks for the dialect.
pub(crate) fn is_offered(client_request: &ClientRequest) -> bool {
    let offered = request::subprotocols(&client_request.request.head);
    offered.iter().any(|name| name == SUBPROTOCOL)
}

/// Answers, and gives the session.
pub(crate) async fn open(
    gateway: Arc<Gateway>,
    client_request: ClientRequest,
    opening: Opening,
) -> Option<Established> {
    let settings = Arc::clone(&gateway.table().settings);
    let mut config = Config::default();
    config.ping_interval = Some(settings.limits.ping_interval);
    config.control_rate = settings.limits.control_rate;
    config.message_timeout = settings.limits.message_timeout;
    // A DATA frame is within its stream's credit; all others are small.
    let frame_max = settings.mux.credit as usize + 1024;
    config.message_bytes_max = frame_max.max(128 << 10);
    config.frame_bytes_max = config.message_bytes_max;
    let answer = Answer {
        subprotocol: Some(SUBPROTOCOL),
        ..Answer::default()
    };
    let drain = gateway.draining.clone();
    let client = match opening.accept(&answer, Some(Arc::new(config))).await {
        Ok(client) => client,
        Err(error) => {
            tracing::debug!(error = %tidewire::ErrorChain(&error), "the client has gone");
            return None;
        }
    };
    let session = gateway.sessions.open(Begin {
        parent: None,
        endpoint: None,
        dialect: Dialect::Mux,
        client: client_request.client.node(),
        request: Some(client_request.request_line()),
        trace: client_request.trace(),
    });
    let mux = MuxSession::new(gateway, client_request, client, Arc::clone(&session.record));
    Some(Box::pin(async move {
        let (code, why) = mux.run(drain, settings.drain.timeout).await;
        session.ended(code, why);
    }))
}

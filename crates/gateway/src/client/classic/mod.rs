//! A connection that speaks `SMHandshake`: every message names its route.
//!
//! In: the client's request. Out: the session that is run for it. The dialogue is specified in
//! `docs/protocols/smhandshake.md`; its syntax and states are `tidewire_proto::smhandshake`'s.

mod session; // the connection
mod route; // one route in use

use std::sync::Arc;

use tidewire::ws::{Answer, Config, Established, Opening};

use self::session::ClassicSession;
use crate::{
    client::client_request::ClientRequest,
    gateway::Gateway,
    record::{Begin, Dialect},
    settings::Settings,
};

/// Returns whether a request that no endpoint is named in may speak the dialect.
pub(crate) fn is_served(settings: &Settings, client_request: &ClientRequest) -> bool {
    let classic = &settings.classic;
    let path = client_request.request.head.path();
    // Where routes say which paths there are, any other is a mistake of the client's, but for that of an address
    // without a path.
    let is_any = classic.paths.is_empty() && (settings.routes.is_empty() || path == "/");
    classic.enabled && (is_any || classic.paths.iter().any(|served| served == path))
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
    // A message that is a little too large is refused with an object that says so.
    config.message_bytes_max = settings.classic.message_bytes_max.saturating_mul(2);
    config.frame_bytes_max = config.message_bytes_max;
    let answer = Answer::default();
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
        dialect: Dialect::Classic,
        client: client_request.client.node(),
        request: Some(client_request.request_line()),
        trace: client_request.trace(),
    });
    let record = Arc::clone(&session.record);
    let classic = ClassicSession::new(gateway, client_request, client, record);
    let within = settings.classic.handshake_timeout;
    Some(Box::pin(async move {
        let (code, why) = classic.run(within).await;
        session.ended(code, why);
    }))
}

//! The echo endpoint: every message back to its sender. For conformance tests and benchmarks.

use std::{pin::Pin, sync::Arc};

use tidewire::ws::{AcceptFuture, Config, Decision, Endpoint, Refusal, Request, WebSocket};
use tidewire_auth::{Denied, Identity, claimed_user};

use crate::{
    access::Access,
    credentials::{CANNOT_TELL, UpgradeHeaders},
    shaping::{CloseReason, Login, NotIdentified, Shaping, TOO_MANY_LOGINS, Tally},
    subprotocols,
};

/// Serves `/echo` with limits of its own.
pub(crate) struct Echo {
    pub(crate) access: Access,
    pub(crate) shaping: Arc<Shaping>,
    pub(crate) config: Arc<Config>,
}

impl Endpoint for Echo {
    fn accept<'a>(&'a self, request: &'a Request) -> AcceptFuture<'a> {
        if let Err(refusal) = self
            .access
            .check_origin(request.head.as_ref(), &request.peer)
        {
            return refusal.into();
        }
        let decision = Decision::new().config(Arc::clone(&self.config));
        let decision = subprotocols::agree(decision, &request.head, None);
        let headers = UpgradeHeaders::of(request);
        let login = Login {
            address: self.access.client(request.head.as_ref(), &request.peer),
            account: claimed_user(&headers),
        };
        let (shaping, gate) = (&self.shaping, &self.access.auth);
        match shaping.identify_if_known(gate, &headers, &login) {
            Some(identified) => AcceptFuture::ready(judged(&identified, decision)),
            None => AcceptFuture::wait(async move {
                judged(&shaping.identify(gate, &headers, &login).await, decision)
            }),
        }
    }

    fn serve(
        &self,
        mut socket: WebSocket,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let client = self.access.client(request.head.as_ref(), &request.peer);
        let mut tally = Tally::of(&self.shaping.reasons, client, &request);
        Box::pin(async move {
            let otherwise = loop {
                match socket.recv().await {
                    Ok(Some(message)) => {
                        if let Some(visit) = tally.visit() {
                            visit.messages_in += 1;
                            visit.messages_out += 1;
                        }
                        if socket.send(message).await.is_err() {
                            break CloseReason::Lost;
                        }
                    }
                    Ok(None) => break CloseReason::Client,
                    Err(error) => break CloseReason::of_error(&error),
                }
            };
            if let Some(visit) = tally.visit() {
                visit.bytes = socket.bytes_moved();
            }
            let reason = match socket.started_close() {
                Some(ours) => {
                    tally.note_code(ours.code.0);
                    CloseReason::of_close(&ours)
                }
                None => otherwise,
            };
            tally.note(reason);
        })
    }
}

fn judged(
    identified: &Result<Arc<Identity>, NotIdentified>,
    decision: Decision,
) -> Result<Decision, Refusal> {
    match identified {
        Ok(_) => Ok(decision),
        Err(NotIdentified::Denied(Denied::Unavailable)) => Err(Refusal::new(503, CANNOT_TELL)),
        Err(NotIdentified::Wait(_)) => Err(Refusal::new(429, TOO_MANY_LOGINS)),
        Err(NotIdentified::Denied(_)) => Err(Refusal::new(401, "Unauthorized")),
    }
}

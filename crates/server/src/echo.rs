//! The echo endpoint: every message back to its sender. For conformance tests and benchmarks.

use std::{pin::Pin, sync::Arc};

use tidewire::ws::{AcceptFuture, Config, Decision, Endpoint, Refusal, Request, WebSocket};
use tidewire_auth::{Denied, Identity};

use crate::{
    access::Access,
    credentials::{CANNOT_TELL, UpgradeHeaders},
    subprotocols,
};

/// Serves `/echo` with limits of its own.
pub(crate) struct Echo {
    pub(crate) access: Access,
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
        match self.access.auth.check_if_known(&headers) {
            Some(checked) => AcceptFuture::ready(judged(&checked, decision)),
            None => AcceptFuture::wait(async move {
                judged(&self.access.auth.check(&headers).await, decision)
            }),
        }
    }

    fn serve(
        &self,
        mut socket: WebSocket,
        _request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            while let Ok(Some(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    break;
                }
            }
        })
    }
}

fn judged(
    checked: &Result<Arc<Identity>, Denied>,
    decision: Decision,
) -> Result<Decision, Refusal> {
    match checked {
        Ok(_) => Ok(decision),
        Err(Denied::Unavailable) => Err(Refusal::new(503, CANNOT_TELL)),
        Err(_) => Err(Refusal::new(401, "Unauthorized")),
    }
}

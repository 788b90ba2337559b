//! The echo endpoint: every message back to its sender. For conformance tests and benchmarks.

use std::{pin::Pin, sync::Arc};

use tidewire::ws::{AcceptFuture, Config, Decision, Endpoint, Refusal, Request, WebSocket};

use crate::{
    access::{Access, HeadHeaders},
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
        if self.access.auth.check(&HeadHeaders(&request.head)).is_err() {
            return Refusal::new(401, "Unauthorized").into();
        }
        let decision = Decision::new().config(Arc::clone(&self.config));
        subprotocols::agree(decision, &request.head, None).into()
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

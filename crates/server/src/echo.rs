//! The echo endpoint: every message back to its sender. For conformance tests and benchmarks.

use std::{pin::Pin, sync::Arc};

use tidewire::ws::{Config, Endpoint, Refusal, Request, Response, WebSocket};

use crate::access::{Access, HeadHeaders};

/// Serves `/echo` with limits of its own.
pub(crate) struct Echo {
    pub(crate) access: Access,
    pub(crate) config: Arc<Config>,
}

impl Endpoint for Echo {
    fn accept(&self, request: &Request) -> Result<Response, Refusal> {
        self.access.check_origin(request.head.as_ref())?;
        if self.access.auth.check(&HeadHeaders(&request.head)).is_err() {
            return Err(Refusal::new(401, "Unauthorized"));
        }
        Ok(Response::default())
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

    fn config(&self) -> Option<Arc<Config>> {
        Some(Arc::clone(&self.config))
    }
}

//! tokio-websockets: default settings, its SIMD is chosen at run time.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_websockets::{Message, ServerBuilder};

use super::{
    Context, Library, Role,
    streams::{self, Batching},
};

/// The library.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokioWebsockets;

impl Library for TokioWebsockets {
    async fn serve<S>(self, stream: S, context: Arc<Context>) -> anyhow::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (request, socket) = ServerBuilder::new().accept(stream).await?;
        let role = Role::of(request.uri().path());
        streams::serve(socket, role, Batching::Collect, &context).await
    }
}

impl streams::Message for Message {
    fn is_data(&self) -> bool {
        self.is_text() || self.is_binary()
    }

    fn into_bytes(self) -> Bytes {
        Bytes::from(self.into_payload())
    }

    fn binary(payload: Bytes) -> Self {
        Self::binary(payload)
    }
}

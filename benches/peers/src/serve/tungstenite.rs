//! tokio-tungstenite: default settings.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::{
    Message,
    handshake::server::{ErrorResponse, Request, Response},
};

use super::{
    Context, Library, Role,
    streams::{self, Batching},
};

/// The library.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tungstenite;

impl Library for Tungstenite {
    async fn serve<S>(self, stream: S, context: Arc<Context>) -> anyhow::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut role = Role::Echo;
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            role = Role::of(request.uri().path());
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, look).await?;
        streams::serve(socket, role, Batching::Feed, &context).await
    }
}

impl streams::Message for Message {
    fn is_data(&self) -> bool {
        self.is_text() || self.is_binary()
    }

    fn into_bytes(self) -> Bytes {
        self.into_data()
    }

    fn binary(payload: Bytes) -> Self {
        Self::Binary(payload)
    }
}

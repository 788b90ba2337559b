//! sockudo-ws: default settings (cork buffer of 16 KiB, keep-alive on), no type erasure.

use std::sync::Arc;

use bytes::Bytes;
use sockudo_ws::{Config, Message, Role as Side, WebSocketStream, handshake::server_handshake};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Context, Library, Role,
    streams::{self, Batching},
};

/// The library.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sockudo;

impl Library for Sockudo {
    async fn serve<S>(self, mut stream: S, context: Arc<Context>) -> anyhow::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = server_handshake(&mut stream).await?;
        let role = Role::of(&handshake.path);
        let socket = WebSocketStream::from_raw_with_leftover(
            stream,
            Side::Server,
            Config::default(),
            handshake.leftover,
        );
        streams::serve(socket, role, Batching::Feed, &context).await
    }
}

impl streams::Message for Message {
    fn is_data(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Binary(_))
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(payload) | Self::Binary(payload) => payload,
            _ => Bytes::new(),
        }
    }

    fn binary(payload: Bytes) -> Self {
        Self::Binary(payload)
    }
}

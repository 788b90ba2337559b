//! yawc: no compression, UTF-8 checked as everybody else does it, hyper's upgrade.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt as _;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use yawc::{Frame, OpCode, Options, WebSocket};

use super::{
    Context, Library, Role,
    streams::{self, Batching},
};

/// The library.
#[derive(Clone, Copy, Debug)]
pub(super) struct Yawc;

impl Library for Yawc {
    async fn serve<S>(self, stream: S, context: Arc<Context>) -> anyhow::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let upgrade = service_fn(move |mut request: Request<Incoming>| {
            let context = Arc::clone(&context);
            async move {
                let role = Role::of(request.uri().path());
                let options = Options::default()
                    .with_utf8()
                    .with_limits(64 << 20, 128 << 20);
                let (response, socket) = WebSocket::upgrade_with_options(&mut request, options)?;
                tokio::spawn(async move {
                    let socket = socket.await?.map(Ok::<_, Infallible>);
                    streams::serve(socket, role, Batching::Feed, &context).await
                });
                Ok::<_, yawc::WebSocketError>(response)
            }
        });
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), upgrade)
            .with_upgrades()
            .await?;
        Ok(())
    }
}

impl streams::Message for Frame {
    fn is_data(&self) -> bool {
        matches!(self.opcode(), OpCode::Text | OpCode::Binary)
    }

    fn into_bytes(self) -> Bytes {
        self.into_payload()
    }

    fn binary(payload: Bytes) -> Self {
        Self::binary(payload)
    }
}

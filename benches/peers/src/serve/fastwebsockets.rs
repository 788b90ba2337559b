//! fastwebsockets: default settings, hyper's upgrade. It writes each frame at once; batched, its
//! halves are split and the writing one is put behind a `BufWriter`.

use std::{pin::pin, sync::Arc, task::Poll};

use bytes::Bytes;
use fastwebsockets::{
    FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, WebSocket, WebSocketError,
    upgrade,
};
use futures_util::future::poll_fn;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, BufWriter};

use super::{Context, Library, Role};

/// Bytes collected before a write.
const WRITE_BUFFER: usize = 64 << 10;

/// The library.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fastwebsockets;

impl Library for Fastwebsockets {
    async fn serve<S>(self, stream: S, context: Arc<Context>) -> anyhow::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(move |mut request: Request<Incoming>| {
            let context = Arc::clone(&context);
            async move {
                let role = Role::of(request.uri().path());
                let (response, socket) = upgrade::upgrade(&mut request)?;
                tokio::spawn(async move {
                    let socket = socket.await?;
                    match role {
                        Role::Echo if context.batch => echo_batched(socket).await,
                        Role::Echo => echo(socket).await,
                        Role::Publish => publish(socket, &context).await,
                        Role::Receive => receive(socket, &context).await,
                    }
                });
                Ok::<_, WebSocketError>(response)
            }
        });
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await?;
        Ok(())
    }
}

type Socket = WebSocket<TokioIo<Upgraded>>;

fn is_data(frame: &Frame<'_>) -> bool {
    matches!(frame.opcode, OpCode::Text | OpCode::Binary)
}

async fn echo(socket: Socket) -> anyhow::Result<()> {
    let mut socket = FragmentCollector::new(socket);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn echo_batched(socket: Socket) -> anyhow::Result<()> {
    let (reader, mut writer) = socket.split(|stream| {
        let (read, write) = tokio::io::split(stream);
        (read, BufWriter::with_capacity(WRITE_BUFFER, write))
    });
    let mut reader = FragmentCollectorRead::new(reader);
    // The generator sends no pings; an application would pass them to the writer.
    let mut ignore = |_: Frame<'_>| async { Ok::<_, WebSocketError>(()) };
    loop {
        let frame = {
            let mut reading = pin!(reader.read_frame(&mut ignore));
            // Reading is not cancel safe: the same future is awaited after the flush.
            let ready = poll_fn(|cx| {
                Poll::Ready(match reading.as_mut().poll(cx) {
                    Poll::Ready(frame) => Some(frame),
                    Poll::Pending => None,
                })
            });
            if let Some(frame) = ready.await {
                frame?
            } else {
                writer.flush().await?;
                reading.await?
            }
        };
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => writer.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn publish(socket: Socket, context: &Context) -> anyhow::Result<()> {
    let mut socket = FragmentCollector::new(socket);
    loop {
        let frame = socket.read_frame().await?;
        if frame.opcode == OpCode::Close {
            return Ok(());
        }
        if is_data(&frame) {
            let payload = match frame.payload {
                Payload::Bytes(bytes) => bytes.freeze(),
                other => Bytes::copy_from_slice(&other),
            };
            context.room.send(payload).ok();
        }
    }
}

async fn receive(socket: Socket, context: &Context) -> anyhow::Result<()> {
    let (reader, mut writer) = socket.split(|stream| {
        let (read, write) = tokio::io::split(stream);
        (read, BufWriter::with_capacity(WRITE_BUFFER, write))
    });
    let mut reader = FragmentCollectorRead::new(reader);
    let mut ignore = |_: Frame<'_>| async { Ok::<_, WebSocketError>(()) };
    let mut reading = pin!(async move {
        loop {
            let frame = reader.read_frame(&mut ignore).await?;
            if frame.opcode == OpCode::Close {
                return Ok::<_, WebSocketError>(());
            }
        }
    });
    let mut room = context.room.subscribe();
    loop {
        tokio::select! {
            biased;
            payload = room.recv() => {
                let mut payload = payload?;
                loop {
                    writer.write_frame(Frame::binary(Payload::Borrowed(&payload))).await?;
                    match room.try_recv() {
                        Ok(next) => payload = next,
                        Err(_) => break,
                    }
                }
                writer.flush().await?;
            }
            ended = &mut reading => return Ok(ended?),
        }
    }
}

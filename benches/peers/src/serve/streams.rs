//! What is common to rivals that are a `Stream` and a `Sink` of messages.

use std::task::Poll;

use bytes::Bytes;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _, future::poll_fn};

use super::{BATCH_MAX, Context, Role};

/// A rival's message.
pub(super) trait Message: Sized {
    /// Whether it is text or binary.
    fn is_data(&self) -> bool;
    /// Its payload.
    fn into_bytes(self) -> Bytes;
    /// A binary message.
    fn binary(payload: Bytes) -> Self;
}

/// How a rival is batched best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Batching {
    /// Feed each answer at once, flush when no message is ready.
    Feed,
    /// Receiving flushes what was fed, so first receive all that is ready, then feed and flush.
    Collect,
}

/// Serves a connection in its role.
pub(super) async fn serve<W, M, E>(
    socket: W,
    role: Role,
    batching: Batching,
    context: &Context,
) -> anyhow::Result<()>
where
    W: Stream<Item = Result<M, E>> + Sink<M> + Unpin,
    M: Message,
    anyhow::Error: From<<W as Sink<M>>::Error> + From<E>,
{
    match role {
        Role::Echo if !context.batch => echo(socket).await,
        Role::Echo => match batching {
            Batching::Feed => echo_feeding(socket).await,
            Batching::Collect => echo_collecting(socket).await,
        },
        Role::Publish => publish(socket, context).await,
        Role::Receive => receive(socket, context).await,
    }
}

/// The loop of every example: receive, send.
async fn echo<W, M, E>(mut socket: W) -> anyhow::Result<()>
where
    W: Stream<Item = Result<M, E>> + Sink<M> + Unpin,
    M: Message,
    anyhow::Error: From<<W as Sink<M>>::Error> + From<E>,
{
    while let Some(message) = socket.next().await.transpose()? {
        if message.is_data() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn echo_feeding<W, M, E>(mut socket: W) -> anyhow::Result<()>
where
    W: Stream<Item = Result<M, E>> + Sink<M> + Unpin,
    M: Message,
    anyhow::Error: From<<W as Sink<M>>::Error> + From<E>,
{
    let mut fed = false;
    loop {
        let next = poll_fn(|cx| match socket.poll_next_unpin(cx) {
            Poll::Pending if fed => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
            Poll::Ready(item) => Poll::Ready(Some(item)),
        });
        match next.await {
            None => {
                socket.flush().await?;
                fed = false;
            }
            Some(None) => return Ok(()),
            Some(Some(message)) => {
                let message = message?;
                if message.is_data() {
                    socket.feed(message).await?;
                    fed = true;
                }
            }
        }
    }
}

async fn echo_collecting<W, M, E>(mut socket: W) -> anyhow::Result<()>
where
    W: Stream<Item = Result<M, E>> + Sink<M> + Unpin,
    M: Message,
    anyhow::Error: From<<W as Sink<M>>::Error> + From<E>,
{
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        let ended = poll_fn(|cx| {
            while batch.len() < BATCH_MAX {
                match socket.poll_next_unpin(cx) {
                    Poll::Ready(Some(item)) => batch.push(item),
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Pending if batch.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(false)
        });
        let ended = ended.await;
        for message in batch.drain(..) {
            let message = message?;
            if message.is_data() {
                socket.feed(message).await?;
            }
        }
        socket.flush().await?;
        if ended {
            return Ok(());
        }
    }
}

async fn publish<W, M, E>(mut socket: W, context: &Context) -> anyhow::Result<()>
where
    W: Stream<Item = Result<M, E>> + Unpin,
    M: Message,
    anyhow::Error: From<E>,
{
    while let Some(message) = socket.next().await.transpose()? {
        if message.is_data() {
            // No receiver yet is no error.
            context.room.send(message.into_bytes()).ok();
        }
    }
    Ok(())
}

async fn receive<W, M, E>(mut socket: W, context: &Context) -> anyhow::Result<()>
where
    W: Stream<Item = Result<M, E>> + Sink<M> + Unpin,
    M: Message,
    anyhow::Error: From<<W as Sink<M>>::Error> + From<E>,
{
    let mut room = context.room.subscribe();
    loop {
        tokio::select! {
            biased;
            payload = room.recv() => {
                socket.feed(M::binary(payload?)).await?;
                while let Ok(payload) = room.try_recv() {
                    socket.feed(M::binary(payload)).await?;
                }
                socket.flush().await?;
            }
            message = socket.next() => if message.transpose()?.is_none() {
                return Ok(());
            },
        }
    }
}

//! The owner's side of a reconnecting client.

use std::{fmt, sync::Arc, time::Duration};

use tidewire_proto::{CloseFrame, Message};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
    time::timeout,
};

use super::{
    ClientEvent, OutboxSender, Reconnect,
    outbox::{Outbox, OutboxError},
    shared::Shared,
    task::Task,
};
use crate::{queue::Queue, service::Drain};

/// A client that keeps one logical connection, over as many as it takes.
///
/// Everything it does is done by one task, which ends with this handle: [`close`](Self::close)
/// ends it properly, dropping aborts it and the connection. Events have to be read, by
/// [`next`](Self::next): see [`Reconnect::events`].
pub struct Reconnecting {
    shared: Shared,
    task: JoinHandle<Option<CloseFrame>>,
}

/// How a closed client ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The peer's close frame, if there was a connection and the peer took part in closing it.
    pub frame: Option<CloseFrame>,
    /// The messages that were not delivered, in order. With
    /// [`Delivery::AtLeastOnce`](super::Delivery::AtLeastOnce) some of them may have arrived.
    pub undelivered: Vec<Message>,
}

impl fmt::Debug for Reconnecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnecting")
            .field("ended", &self.task.is_finished())
            .finish_non_exhaustive()
    }
}

impl Reconnecting {
    pub(super) fn start<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        settings: Reconnect<S>,
    ) -> Self {
        let shared = Shared {
            outbox: Arc::new(Outbox::new(settings.outbox)),
            events: Arc::new(Queue::new(settings.events)),
            closing: Drain::new(),
        };
        let task = Task {
            settings,
            shared: shared.clone(),
        };
        Self {
            shared,
            task: tokio::spawn(task.run()),
        }
    }

    /// What happens next; `None` once the client has given up (see [`ClientEvent::Down`]).
    ///
    /// # Cancel safety
    /// Cancel safe: no event is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        self.shared.events.pop().await
    }

    /// What has happened and was not told yet, without waiting.
    pub fn try_next(&mut self) -> Option<ClientEvent> {
        self.shared.events.try_pop()
    }

    /// A handle to send by. It does not keep the client alive.
    pub fn sender(&self) -> OutboxSender {
        OutboxSender {
            outbox: Arc::clone(&self.shared.outbox),
        }
    }

    /// As [`OutboxSender::send`].
    ///
    /// # Errors
    /// [`OutboxError::Ended`].
    ///
    /// # Cancel safety
    /// Cancel safe: when the future is dropped before it is ready, the message was not queued.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), OutboxError> {
        self.sender().send(message).await
    }

    /// As [`OutboxSender::try_send`].
    ///
    /// # Errors
    /// [`OutboxError`].
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), OutboxError> {
        self.sender().try_send(message)
    }

    /// Takes no more messages, delivers those in the outbox, over reconnects if need be, and
    /// closes the connection with 1000; all at most `within`, then it is aborted. Without a
    /// connection and with nothing to send it ends at once. Events not read yet, and messages
    /// still coming in, are discarded. When this returns, nothing runs any more.
    ///
    /// # Cancel safety
    /// When dropped, the client is aborted.
    pub async fn close(mut self, within: Duration) -> Closed {
        self.shared.outbox.close();
        self.shared.events.close();
        self.shared.closing.start();
        let frame = match timeout(within, &mut self.task).await {
            Ok(frame) => frame.ok().flatten(),
            Err(_elapsed) => {
                self.task.abort();
                (&mut self.task).await.ok().flatten()
            }
        };
        Closed {
            frame,
            undelivered: self.shared.outbox.end(),
        }
    }
}

impl Drop for Reconnecting {
    fn drop(&mut self) {
        self.shared.outbox.close();
        self.task.abort();
    }
}

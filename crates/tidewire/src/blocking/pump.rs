//! From a socket into a bounded queue.
//!
//! In: a connection. Out: its messages, into a queue, and how it ended. Invariants: while the
//! queue is full the peer is not read from, but what is to be sent is still written; a wish to
//! end is fulfilled although the queue is full.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, OnceLock},
    task::Poll,
};

use tidewire_proto::{CloseCode, CloseFrame, Message};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    queue::{Bounds, Queue},
    service::Drain,
    ws::{RecvError, Sender, WebSocket},
};

/// How a connection ended: with the peer's close frame, if it sent one, or with an error.
pub(crate) type Outcome = Result<Option<CloseFrame>, RecvError>;

/// What the pump and those who use it share.
#[derive(Clone, Debug)]
pub(crate) struct Pump {
    pub(crate) incoming: Arc<Queue<Message>>,
    /// Nobody wants further messages.
    discard: Drain,
    /// The connection has ended.
    pub(crate) ended: Drain,
    outcome: Arc<OnceLock<Outcome>>,
}

impl Pump {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            incoming: Arc::new(Queue::new(bounds)),
            discard: Drain::new(),
            ended: Drain::new(),
            outcome: Arc::default(),
        }
    }

    /// How the connection ended; `None` while it lasts.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.get()
    }

    /// Starts the closing handshake; messages that still come are discarded.
    pub(crate) fn close<S>(&self, sender: &Sender<S>, code: CloseCode, reason: &str)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.discard.start();
        sender.close(code, reason);
    }

    /// Moves messages until the connection has ended.
    pub(crate) fn run<S>(self, mut socket: WebSocket<S>) -> impl Future<Output = ()> + Send
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Also when the task is aborted, even before it has begun: nobody shall wait in vain.
        let ended = self.ended.clone().guard();
        let closes = CloseOnDrop(Arc::clone(&self.incoming));
        async move {
            let outcome = self.receive(&mut socket).await;
            drop(socket);
            self.outcome.get_or_init(|| outcome);
            drop(closes);
            drop(ended);
        }
    }

    async fn receive<S>(&self, socket: &mut WebSocket<S>) -> Outcome
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        while let Some(message) = socket.recv().await? {
            if self.discard.is_started() {
                continue;
            }
            let len = message.payload().len();
            self.room(socket, len).await;
            if !self.discard.is_started() && self.incoming.try_push(message, len).is_err() {
                tracing::trace!("a message came for nobody");
            }
        }
        Ok(socket.close_frame().cloned())
    }

    /// Waits for room, or until nobody wants messages; meanwhile writes what others queue.
    async fn room<S>(&self, socket: &mut WebSocket<S>, len: usize)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut room = pin!(self.incoming.room(len));
        let mut discard = pin!(self.discard.started());
        poll_fn(|cx| {
            if room.as_mut().poll(cx).is_ready() || discard.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if let Poll::Ready(Err(error)) = socket.poll_flush(cx) {
                tracing::trace!(%error, "receiving will tell");
            }
            Poll::Pending
        })
        .await;
    }
}

struct CloseOnDrop(Arc<Queue<Message>>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidewire_proto::{Config, Connection};
    use tokio::{
        io::{DuplexStream, duplex},
        task::JoinHandle,
        time::{Instant, timeout},
    };

    use super::*;
    use crate::entropy::RandomKeys;

    const MESSAGES_MAX: usize = 4;

    /// A pump over a stream in memory, and the peer.
    fn pumping() -> (
        Pump,
        Sender<DuplexStream>,
        WebSocket<DuplexStream>,
        JoinHandle<()>,
    ) {
        let (ours, theirs) = duplex(256);
        let config = Arc::new(Config::default());
        let now = Instant::now().into_std();
        let core = Connection::server(Arc::clone(&config), now);
        let socket = WebSocket::new(ours, core, Vec::new());
        let core = Connection::client(config, Box::new(RandomKeys), now);
        let peer = WebSocket::new(theirs, core, Vec::new());
        let pump = Pump::new(Bounds {
            items_max: MESSAGES_MAX,
            bytes_max: 1 << 20,
        });
        let sender = socket.sender();
        let task = tokio::spawn(pump.clone().run(socket));
        (pump, sender, peer, task)
    }

    /// Sends numbers until the other end takes no more.
    async fn fill(peer: &mut WebSocket<DuplexStream>) -> usize {
        for number in 0.. {
            peer.send(format!("{number:100}")).await.unwrap();
            let flushed = timeout(Duration::from_secs(1), peer.flush()).await;
            if flushed.is_err() {
                return number + 1;
            }
        }
        unreachable!()
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_inbox_stops_reading_and_nothing_is_lost() {
        let (pump, _sender, mut peer, _task) = pumping();
        let sent = fill(&mut peer).await;
        // Held: the inbox, one read (with the message that waits for room), the stream.
        assert!(
            sent <= MESSAGES_MAX + 256 / 106 * 2 + 3,
            "{sent} were taken"
        );
        let flushing = tokio::spawn(async move {
            peer.flush().await.unwrap();
            peer
        });
        for number in 0..sent {
            let message = pump.incoming.pop().await.unwrap();
            let text = message.as_text().unwrap().trim();
            assert_eq!(text, number.to_string());
        }
        let mut peer = flushing.await.unwrap();
        peer.send("again").await.unwrap();
        assert_eq!(pump.incoming.pop().await.unwrap().as_text(), Some("again"));
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_inbox_is_full_what_is_sent_still_leaves() {
        let (_pump, sender, mut peer, _task) = pumping();
        fill(&mut peer).await;
        // Far more than the stream holds: the pump has to go on writing.
        let message = Message::text("x".repeat(10_000));
        sender.try_send(&message).unwrap();
        let got = timeout(Duration::from_secs(5), peer.recv()).await.unwrap();
        assert_eq!(got.unwrap(), Some(message));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_closed_although_its_inbox_is_full() {
        let (pump, sender, mut peer, task) = pumping();
        fill(&mut peer).await;
        pump.close(&sender, CloseCode::NORMAL, "");
        assert_eq!(peer.recv().await.unwrap(), None);
        task.await.unwrap();
        assert!(matches!(pump.outcome(), Some(Ok(Some(_)))));
        assert!(pump.incoming.pop().await.is_some(), "can still be read");
    }

    #[tokio::test(start_paused = true)]
    async fn an_aborted_pump_lets_nobody_wait() {
        let (pump, _sender, _peer, task) = pumping();
        task.abort();
        assert_eq!(pump.incoming.pop().await, None);
        pump.ended.started().await;
        assert!(pump.outcome().is_none());
    }
}

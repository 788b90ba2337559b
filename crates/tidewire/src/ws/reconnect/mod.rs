//! A client that keeps one logical connection.
//!
//! [`Reconnect`] holds the settings; [`start`](Reconnect::start) spawns one task, owned by the
//! [`Reconnecting`] handle, that connects, waits ([`Backoff`]), greets, sends what is in the
//! `outbox` and tells what happens (`event`). Invariants: one task, which ends with the handle;
//! both queues are bounded; a message taken into the outbox leaves it as [`Delivery`] promises, or
//! is given back by [`Reconnecting::close`].

mod outbox; // messages on their way out
mod event; // what the owner is told
mod shared; // between the task and its owner
mod connected; // one connection, from greeting to end
mod task; // connect, wait, connect again
mod handle; // the owner's side

use std::{error::Error, fmt, future::ready, pin::Pin, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};

pub use self::{
    event::{ClientEvent, DownReason},
    handle::{Closed, Reconnecting},
    outbox::{Delivery, OutboxError, OutboxLimits, OutboxSender},
};
use super::{Client, WebSocket};
pub use crate::net::Backoff;
use crate::{entropy, net::Stream, queue::Bounds};

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type BoxError = Box<dyn Error + Send + Sync>;
type Connector<S> = Box<dyn FnMut(u32) -> BoxFuture<Result<WebSocket<S>, DownReason>> + Send>;
type Greeting<S> = Box<dyn FnMut(WebSocket<S>) -> BoxFuture<Result<WebSocket<S>, BoxError>> + Send>;
type Policy = Box<dyn FnMut(&DownReason) -> bool + Send>;

/// Settings of a [`Reconnecting`] client.
///
/// ```no_run
/// use tidewire::{
///     ErrorChain,
///     ws::{Backoff, Client, ClientEvent},
/// };
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut client = Client::new("wss://example.org/feed")?
///     .reconnect(Backoff::default())
///     .on_connect(|mut socket| async move {
///         socket.send(r#"{"subscribe":"news"}"#).await?;
///         Ok(socket)
///     })
///     .start();
/// client.sender().send("kept until there is a connection").await?;
/// while let Some(event) = client.next().await {
///     match event {
///         ClientEvent::Message(message) => println!("{message:?}"),
///         ClientEvent::Down { reason, retry_in } => {
///             eprintln!("{}, again in {retry_in:?}", ErrorChain(&reason));
///         }
///         _ => {}
///     }
/// }
/// # Ok(()) }
/// ```
pub struct Reconnect<S: AsyncRead + AsyncWrite + Unpin + Send + 'static = Stream> {
    connector: Connector<S>,
    greeting: Greeting<S>,
    policy: Policy,
    random: Box<dyn FnMut() -> u64 + Send>,
    backoff: Backoff,
    attempt_timeout: Duration,
    outbox: OutboxLimits,
    delivery: Delivery,
    events: Bounds,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> fmt::Debug for Reconnect<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnect")
            .field("backoff", &self.backoff)
            .field("outbox", &self.outbox)
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Keeps one logical connection: connects, and connects again whenever it ends.
    pub fn reconnect(self, backoff: Backoff) -> Reconnect {
        self.reconnect_with(backoff, |client, _attempt| ready(Ok(client)))
    }

    /// As [`reconnect`](Self::reconnect); before each attempt `renew` may change a copy of this
    /// client, for example to send a fresh token, or give another one, for example for another
    /// address. The number is that of the attempt since the last connection, from 1.
    pub fn reconnect_with<F, T>(self, backoff: Backoff, mut renew: F) -> Reconnect
    where
        F: FnMut(Self, u32) -> T + Send + 'static,
        T: Future<Output = Result<Self, BoxError>> + Send + 'static,
    {
        Reconnect::new(backoff, move |attempt| {
            let client = renew(self.clone(), attempt);
            async move {
                let client = client.await.map_err(DownReason::Renewal)?;
                client.connect().await.map_err(DownReason::Connect)
            }
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Reconnect<S> {
    /// Over connections that `connect` makes, on any stream. It is given the number of the
    /// attempt since the last connection, from 1.
    pub fn new<F, T>(backoff: Backoff, mut connect: F) -> Self
    where
        F: FnMut(u32) -> T + Send + 'static,
        T: Future<Output = Result<WebSocket<S>, DownReason>> + Send + 'static,
    {
        Self {
            connector: Box::new(move |attempt| Box::pin(connect(attempt))),
            greeting: Box::new(|socket| Box::pin(ready(Ok(socket)))),
            policy: Box::new(|reason| !reason.is_permanent()),
            random: Box::new(|| u64::from_ne_bytes(entropy::random())),
            backoff,
            attempt_timeout: Duration::from_secs(30),
            outbox: OutboxLimits::default(),
            delivery: Delivery::default(),
            events: Bounds {
                items_max: 64,
                bytes_max: 1 << 20,
            },
        }
    }

    /// Talks first on every new connection, before anything from the outbox: to authenticate, to
    /// subscribe. It may wait for answers; what it receives is its own. A failure ends the
    /// connection and counts as a failed attempt.
    #[must_use]
    pub fn on_connect<F, T>(mut self, mut greeting: F) -> Self
    where
        F: FnMut(WebSocket<S>) -> T + Send + 'static,
        T: Future<Output = Result<WebSocket<S>, BoxError>> + Send + 'static,
    {
        self.greeting = Box::new(move |socket| Box::pin(greeting(socket)));
        self
    }

    /// Decides which reasons are worth another attempt; the default is all that are not
    /// [permanent](DownReason::is_permanent).
    #[must_use]
    pub fn retry_if(mut self, policy: impl FnMut(&DownReason) -> bool + Send + 'static) -> Self {
        self.policy = Box::new(policy);
        self
    }

    /// Where the jitter comes from; the default is the system's random source. For tests and
    /// simulations.
    #[must_use]
    pub fn random(mut self, source: impl FnMut() -> u64 + Send + 'static) -> Self {
        self.random = Box::new(source);
        self
    }

    /// An attempt, renewal and greeting included, must be done within; default 30 s.
    #[must_use]
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.attempt_timeout = limit;
        self
    }

    /// How much may wait to be sent. When it is full, [`OutboxSender::send`] waits and
    /// [`OutboxSender::try_send`] refuses; nothing is ever dropped for room.
    #[must_use]
    pub fn outbox(mut self, limits: OutboxLimits) -> Self {
        self.outbox = limits;
        self
    }

    /// What is promised for a message; default [`Delivery::AtMostOnce`].
    #[must_use]
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// How many events, and how many payload bytes in them, may wait for
    /// [`Reconnecting::next`]; defaults 64 and 1 MiB. While it is full nothing is received, so
    /// the peer is slowed down, nor is a new attempt made.
    #[must_use]
    pub fn events(mut self, events_max: usize, bytes_max: usize) -> Self {
        self.events = Bounds {
            items_max: events_max,
            bytes_max,
        };
        self
    }

    /// Starts connecting, in a task of its own.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(self) -> Reconnecting {
        Reconnecting::start(self)
    }
}

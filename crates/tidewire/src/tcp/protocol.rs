//! Bytes as the [protocol](Protocol) of a service: from an open stream to a session at work.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use super::{
    Config, Sender, ServerConfig, TooSlow,
    error::is_disconnect,
    io::Io,
    shared::{End, Shared},
};
use crate::{
    broadcast::{Behind, Broadcast},
    net::{Peer, Stream},
    service::{Entry, Observer, Protocol, Registry, Service},
};

pub(super) type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Makes what is run for a connection.
pub(super) type Endpoint = Arc<dyn Fn(Io<Stream>) -> Serving + Send + Sync>;

/// The protocol: bytes, as they come.
pub(super) struct Bytes {
    pub(super) config: Arc<Config>,
    pub(super) endpoint: Endpoint,
    pub(super) life: Arc<Life>,
}

/// State that stays the same while a server runs, whatever is reloaded; dropped when nothing of it runs any more.
pub(super) struct Life {
    pub(super) sessions: Arc<Registry<Shared>>,
    pub(super) broadcast: Broadcast,
    observer: Option<Arc<dyn Observer<Sender>>>,
    started: OnceLock<()>,
}

impl Life {
    pub(super) fn new(config: &ServerConfig, observer: Option<Arc<dyn Observer<Sender>>>) -> Self {
        let behind = match config.broadcast.too_slow {
            TooSlow::Disconnect => Behind::Missed,
            TooSlow::Skip => Behind::Skip,
        };
        Self {
            sessions: Arc::default(),
            broadcast: Broadcast::new(config.broadcast.backlog_bytes_max, behind),
            observer,
            started: OnceLock::new(),
        }
    }

    /// Tells that the server has started, once, before any session.
    pub(super) fn start(&self) {
        self.started.get_or_init(|| {
            if let Some(observer) = &self.observer {
                observer.started();
            }
        });
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(observer) = &self.observer
            && self.started.get().is_some()
        {
            observer.stopped();
        }
    }
}

impl Protocol for Bytes {
    type Connection = Session;

    async fn open(
        service: Arc<Service<Self>>,
        stream: Stream,
        peer: Peer,
    ) -> io::Result<Option<Session>> {
        let bytes = service.protocol();
        let life = &bytes.life;
        life.start();
        let local = stream.local_addr();
        let bytes_max = bytes.config.send_queue_bytes_max;
        // Before it can be found: whatever is broadcast to those that can be reaches it.
        let cursor = life.broadcast.join();
        let (shared, entry) = life
            .sessions
            .open(|id| Arc::new(Shared::new(id, peer, local, bytes_max)));
        if life.sessions.is_draining() {
            shared.end(End::Closed);
        }
        let listed = Listed {
            shared: Arc::clone(&shared),
            entry: Some(entry),
            life: Arc::clone(life),
        };
        if let Some(observer) = &life.observer {
            observer.connected(&Sender::new(Arc::clone(&shared)));
        }
        let io = Io::new(stream, shared, Arc::clone(&bytes.config), Some(cursor));
        Ok(Some(Session {
            serving: (bytes.endpoint)(io),
            _listed: listed,
        }))
    }

    fn opening_failed(&self, error: &io::Error) {
        let is_disconnect = is_disconnect(error.kind());
        if let Some(observer) = &self.life.observer
            && !is_disconnect
        {
            observer.error(error);
        }
    }

    fn start_drain(&self) {
        self.life.sessions.drain();
        for session in self.life.sessions.all() {
            session.end(End::Closed);
        }
    }
}

/// A connection at work, with its place among the sessions; dropped in this order.
pub(super) struct Session {
    serving: Serving,
    _listed: Listed,
}

impl Future for Session {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.serving.as_mut().poll(cx)
    }
}

/// A session that can be found; when it is dropped the observer is told.
struct Listed {
    shared: Arc<Shared>,
    entry: Option<Entry<Shared>>,
    life: Arc<Life>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.shared.abandon();
        drop(self.entry.take());
        let Some(observer) = &self.life.observer else {
            return;
        };
        let failure = self.shared.failure();
        if let Some(error) = failure.filter(|error| !error.is_disconnect()) {
            observer.error(&error);
        }
        observer.disconnected(&Sender::new(Arc::clone(&self.shared)));
    }
}

//! The server: bind, route by path, run, drain.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use tidewire_proto::{
    Config, Connection,
    handshake::{self, AcceptOptions, HeadLimits, Refusal},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Endpoint, Peer, Request, StartError, WebSocket,
    upgrade::{self, Arrived},
};
use crate::{
    listener::{self, Admission, Permit},
    runtime::{self, Workers},
    stream::{Rewind, Stream},
};

/// How many connections, how large a request, how long to wait.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Most connections at a time; more get 503. Default: no limit.
    pub connections_max: usize,
    /// Most connections per remote address; more get 503. Default: no limit.
    pub per_ip_max: usize,
    /// TLS handshake, request head and answer must be done within. Default 10 s in all, so that
    /// dripping bytes gains nothing.
    pub handshake_within: Duration,
    /// Bounds of the request head.
    pub head: HeadLimits,
    /// A peer that takes none of our bytes for this long is dropped. Default 10 s.
    pub write_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: usize::MAX,
            per_ip_max: usize::MAX,
            handshake_within: Duration::from_secs(10),
            head: HeadLimits::default(),
            write_within: Duration::from_secs(10),
        }
    }
}

/// Where and how a server listens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Address to listen on; port 0 picks one.
    pub address: SocketAddr,
    /// How cores are used. Default: a runtime per core.
    pub workers: Workers,
    /// Limits before and around a WebSocket.
    pub limits: Limits,
    /// Limits and deadlines of a WebSocket.
    pub socket: Arc<Config>,
    /// Speak TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::tls::ServerTls>,
}

impl ServerConfig {
    /// Plain TCP on `address`, everything else at its default.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            workers: Workers::per_core(),
            limits: Limits::default(),
            socket: Arc::default(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

/// A request that is no WebSocket upgrade, on its way to an HTTP server.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unrouted {
    /// The stream, the request's bytes put back in front.
    pub stream: Rewind<Stream>,
    /// Who sent it.
    pub peer: Arc<Peer>,
    /// Cancelled when the server drains.
    pub drain: CancellationToken,
}

/// Serves the requests that are no upgrade.
pub type Fallback = Arc<dyn Fn(Unrouted) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Counters of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Connections now, in whatever state.
    pub connections: usize,
    /// WebSockets opened.
    pub opened: u64,
    /// Handshakes that failed: refused, malformed, TLS errors, too slow.
    pub refused: u64,
}

/// A server to be started.
pub struct Server {
    config: ServerConfig,
    routes: HashMap<String, Arc<dyn Endpoint>>,
    fallback: Option<Fallback>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// What all connections of a server share.
pub(super) struct Shared {
    pub(super) config: ServerConfig,
    routes: HashMap<String, Arc<dyn Endpoint>>,
    fallback: Option<Fallback>,
    admission: Arc<Admission>,
    drain: CancellationToken,
    tasks: TaskTracker,
    opened: AtomicU64,
    refused: AtomicU64,
}

impl Server {
    /// A server without routes.
    pub fn new(config: ServerConfig) -> Self {
        Self {
            config,
            routes: HashMap::new(),
            fallback: None,
        }
    }

    /// Serves `path` (exact, without query) by `endpoint`.
    #[must_use]
    pub fn route(mut self, path: impl Into<String>, endpoint: impl Endpoint) -> Self {
        self.routes.insert(path.into(), Arc::new(endpoint));
        self
    }

    /// Serves `path` by an endpoint shared with another path.
    #[must_use]
    pub fn route_shared(mut self, path: impl Into<String>, endpoint: Arc<dyn Endpoint>) -> Self {
        self.routes.insert(path.into(), endpoint);
        self
    }

    /// Gives requests that are no upgrade to an HTTP server; without one they get 426.
    #[must_use]
    pub fn fallback(mut self, fallback: Fallback) -> Self {
        self.fallback = Some(fallback);
        self
    }

    /// Binds and starts to accept.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Panics
    /// With [`Workers::Pool`], outside of a tokio runtime.
    pub fn start(self) -> Result<RunningServer, StartError> {
        let bind_error = |source| StartError::Bind {
            address: self.config.address,
            source,
        };
        let listeners = listener::bind(self.config.address, self.config.workers.listeners())
            .map_err(bind_error)?;
        let address = listeners
            .first()
            .map_or(Ok(self.config.address), std::net::TcpListener::local_addr);
        let address = address.map_err(bind_error)?;
        let shared = Arc::new(Shared {
            admission: Admission::new(
                self.config.limits.connections_max,
                self.config.limits.per_ip_max,
            ),
            config: self.config,
            routes: self.routes,
            fallback: self.fallback,
            drain: CancellationToken::new(),
            tasks: TaskTracker::new(),
            opened: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        let abort = CancellationToken::new();
        let mut threads = Vec::new();
        for (number, listener) in listeners.into_iter().enumerate() {
            let shared = Arc::clone(&shared);
            match shared.config.workers {
                Workers::Pool => {
                    let listener = TcpListener::from_std(listener).map_err(StartError::Runtime)?;
                    let tasks = shared.tasks.clone();
                    tasks.spawn(accept_loop(listener, shared));
                }
                Workers::PerCore(_) => {
                    let abort = abort.clone();
                    let thread =
                        runtime::on_own_thread(format!("tidewire-{number}"), move || async move {
                            own_core(listener, shared, abort).await;
                        });
                    threads.push(thread.map_err(StartError::Runtime)?);
                }
            }
        }
        shared.tasks.close();
        Ok(RunningServer {
            address,
            shared,
            abort,
            threads,
        })
    }
}

/// A server that accepts connections until [`drain`](Self::drain) or drop.
pub struct RunningServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    abort: CancellationToken,
    threads: Vec<thread::JoinHandle<()>>,
}

impl fmt::Debug for RunningServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl RunningServer {
    /// The address it listens on, with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> ServerStats {
        ServerStats {
            connections: self.shared.admission.connections(),
            opened: self.shared.opened.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
        }
    }

    /// Stops accepting, closes every WebSocket with 1001 and waits until all connections have
    /// ended, at most `within`; what remains then is aborted. Returns whether none remained.
    ///
    /// # Cancel safety
    /// Not cancel safe: when dropped, connections are aborted.
    pub async fn drain(mut self, within: Duration) -> bool {
        self.shared.drain.cancel();
        let finished = timeout(within, self.shared.tasks.wait()).await.is_ok();
        self.abort.cancel();
        for thread in self.threads.drain(..) {
            // The thread ends as soon as it sees `abort`; a panic in it was reported already.
            if tokio::task::spawn_blocking(move || thread.join())
                .await
                .is_err()
            {
                tracing::error!("a worker thread could not be joined");
            }
        }
        finished
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.shared.drain.cancel();
        self.abort.cancel();
    }
}

/// A worker: accepts until the drain, then lives until its connections have ended.
async fn own_core(listener: std::net::TcpListener, shared: Arc<Shared>, abort: CancellationToken) {
    match TcpListener::from_std(listener) {
        Ok(listener) => accept_loop(listener, Arc::clone(&shared)).await,
        Err(error) => tracing::error!(%error, "a worker cannot use its listener"),
    }
    // All workers wait for all tasks: a connection's task never outlives its runtime.
    tokio::select! {
        () = shared.tasks.wait() => {}
        () = abort.cancelled() => {}
    }
}

async fn accept_loop(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        tokio::select! {
            biased;
            () = shared.drain.cancelled() => return,
            (tcp, address, permit) = listener::accept(&listener, &shared.admission) => {
                shared.tasks.spawn(connection(tcp, address, permit, Arc::clone(&shared)));
            }
        }
    }
}

/// A connection from accept to end. The handshake's state is boxed, so that the task of an
/// established connection does not carry it along.
async fn connection(tcp: TcpStream, address: SocketAddr, permit: Permit, shared: Arc<Shared>) {
    let handshake = Box::pin(open(tcp, address, &shared));
    let opened = tokio::select! {
        biased;
        opened = timeout(shared.config.limits.handshake_within, handshake) => opened,
        () = shared.drain.cancelled() => return,
    };
    let serve = match opened {
        Ok(Ok(Some(serve))) => serve,
        Ok(Ok(None)) => {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        Ok(Err(error)) => {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%address, %error, "handshake failed");
            return;
        }
        Err(_elapsed) => {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%address, "handshake not done in time");
            return;
        }
    };
    drop(shared);
    serve.await;
    drop(permit);
}

type Serve = Pin<Box<dyn Future<Output = ()> + Send>>;

/// TLS, request, answer; gives what is to be run for the connection.
async fn open(
    tcp: TcpStream,
    address: SocketAddr,
    shared: &Arc<Shared>,
) -> std::io::Result<Option<Serve>> {
    let peer = Peer {
        address: Some(address),
        ..Peer::default()
    };
    let (stream, peer) = upgrade::secure(tcp, peer, shared).await?;
    let Some(arrived) = upgrade::read_head(stream, peer, shared.config.limits.head).await? else {
        return Ok(None);
    };
    if arrived.head.wants_websocket() {
        return websocket(arrived, shared).await;
    }
    let Some(fallback) = &shared.fallback else {
        let mut stream = arrived.stream;
        let mut refusal = Refusal::new(426, "this address speaks WebSocket only");
        refusal.headers.push(("Upgrade", "websocket".into()));
        upgrade::refuse(&mut stream, &refusal).await?;
        return Ok(None);
    };
    let mut before = arrived.head.as_bytes().to_vec();
    before.extend_from_slice(&arrived.leftover);
    Ok(Some(fallback(Unrouted {
        stream: Rewind::new(Bytes::from(before), arrived.stream),
        peer: arrived.peer,
        drain: shared.drain.clone(),
    })))
}

async fn websocket(arrived: Arrived, shared: &Arc<Shared>) -> std::io::Result<Option<Serve>> {
    let Arrived {
        mut stream,
        head,
        leftover,
        peer,
    } = arrived;
    let request = Request {
        head: Arc::new(head),
        peer: Arc::clone(&peer),
    };
    let decided = match shared.routes.get(request.head.path()) {
        None => Err(Refusal::new(404, "no WebSocket at this path")),
        Some(endpoint) => endpoint.accept(&request).and_then(|response| {
            let config = endpoint
                .config()
                .unwrap_or_else(|| Arc::clone(&shared.config.socket));
            let options = AcceptOptions {
                subprotocols: response.subprotocols,
                deflate: config.deflate.as_ref(),
            };
            let accepted = handshake::accept(&request.head, options)?;
            Ok((endpoint, config, accepted))
        }),
    };
    let (endpoint, config, accepted) = match decided {
        Ok(decided) => decided,
        Err(refusal) => {
            upgrade::refuse(&mut stream, &refusal).await?;
            return Ok(None);
        }
    };
    stream.write_all(accepted.response.as_bytes()).await?;
    stream.flush().await?;
    shared.opened.fetch_add(1, Ordering::Relaxed);
    let core = Connection::server(config, Instant::now().into_std()).with_deflate(accepted.deflate);
    let socket = WebSocket::new(stream, core, leftover)
        .with_peer(peer, accepted.subprotocol.map(Arc::from))
        .with_drain(shared.drain.clone(), shared.config.limits.write_within);
    Ok(Some(endpoint.serve(socket, request)))
}

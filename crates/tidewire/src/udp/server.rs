//! A server: bind, start, drain.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use tokio::{runtime::Handle, time::timeout};

use super::{
    Config, Group, Handler, Sender, ServerConfig, Socket,
    bind::bind,
    error::{GroupError, SendError, StartError},
    shared::{OnError, Shared},
    traffic::Traffic,
    turn::Turn,
};
use crate::{
    runtime::EventLoop,
    service::{Drain, Observer, Tasks, Workers},
};

/// A UDP server to be started, any number of times.
///
/// ```
/// use tidewire::udp::{DatagramRef, Handler, Server, ServerConfig, Session};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     fn received(&mut self, session: &mut Session<'_>, datagram: DatagramRef<'_>) {
///         // Refused only when a batch is answered by more than the queue holds.
///         session.reply(datagram.payload).ok();
///     }
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let config = ServerConfig::new("127.0.0.1:0".parse()?);
/// let server = Server::handlers(config, |_socket| Echo).start()?;
///
/// let mut client = tidewire::udp::Client::to(server.local_addr()).connect().await?;
/// client.send(b"hello").await?;
/// assert_eq!(&client.recv().await?.unwrap().payload[..], b"hello");
/// # server.drain(std::time::Duration::from_secs(1)).await;
/// # Ok(()) }
/// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Clone)]
pub struct Server {
    config: ServerConfig,
    endpoint: Endpoint,
    observer: Option<Arc<dyn Observer<Sender>>>,
}

/// Serves a socket.
type Endpoint = Arc<dyn Fn(Socket) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Serves every socket by an async function: one per [worker](ServerConfig::workers), each in a task of its own. It ends
    /// with the server: [`Socket::recv`] tells of a drain by `None`; who does not listen is aborted at its deadline. When it
    /// ends earlier, the socket is closed.
    pub fn new<F, T>(config: ServerConfig, serve: F) -> Self
    where
        F: Fn(Socket) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        Self::with(config, Arc::new(move |socket| Box::pin(serve(socket))))
    }

    /// Serves every socket by a [`Handler`] of its own, which `make` makes when it opens.
    pub fn handlers<F, H>(config: ServerConfig, make: F) -> Self
    where
        F: Fn(&Sender) -> H + Send + Sync + 'static,
        H: Handler,
    {
        let serve = move |socket: Socket| -> Pin<Box<dyn Future<Output = ()> + Send>> {
            let handler = make(&socket.sender);
            Box::pin(async move {
                if let Err(error) = socket.run(handler).await {
                    tracing::error!(error = %crate::ErrorChain(&error), "a socket has failed");
                }
            })
        };
        Self::with(config, Arc::new(serve))
    }

    fn with(config: ServerConfig, endpoint: Endpoint) -> Self {
        Self {
            config,
            endpoint,
            observer: None,
        }
    }

    /// Tells `observer` of what happens to the server and its sockets: a socket is what a session is elsewhere, and an
    /// [`error`](Observer::error) is a [`SocketError`](super::SocketError).
    #[must_use]
    pub fn observe(mut self, observer: Arc<dyn Observer<Sender>>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Binds and starts to receive. The server can be started again, for example after a [drain](RunningServer::drain).
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Panics
    /// With [`Workers::Pool`], outside of a tokio runtime.
    pub fn start(&self) -> Result<RunningServer, StartError> {
        let sockets = self.bind().map_err(|source| StartError::Bind {
            address: self.config.address,
            source,
        })?;
        let own_runtime = matches!(self.config.workers, Workers::PerCore(_));
        // Dropped by an error, it ends the workers that have begun.
        let mut running = RunningServer {
            address: self.config.address,
            multicast_to: self.config.multicast_to,
            sockets: Vec::new(),
            tasks: Tasks::new(own_runtime),
            abort: Drain::new(),
            threads: Vec::new(),
            observer: None,
        };
        let mut places = Vec::new();
        for (number, socket) in sockets.into_iter().enumerate() {
            let place = Place::of(&self.config.workers, number).map_err(StartError::Runtime)?;
            let _entered = place.handle().map(Handle::enter);
            let on_error = self
                .observer
                .clone()
                .map(|observer| -> OnError { Box::new(move |error| observer.error(error)) });
            let shared = Shared::new(socket, self.config.socket.clone(), None, on_error);
            running.sockets.push(shared.map_err(StartError::Runtime)?);
            places.push(place);
        }
        if let Some(first) = running.sockets.first() {
            running.address = first.core.local;
            for group in &self.config.groups {
                first.join(group)?;
            }
        }
        if let Some(observer) = &self.observer {
            running.observer = Some(Arc::clone(observer));
            observer.started();
        }
        for (number, place) in places.into_iter().enumerate() {
            self.serve(&mut running, number, place)?;
        }
        Ok(running)
    }

    /// Lets the endpoint serve a socket.
    fn serve(
        &self,
        running: &mut RunningServer,
        number: usize,
        place: Place,
    ) -> Result<(), StartError> {
        let shared = Arc::clone(&running.sockets[number]);
        let endpoint = Arc::clone(&self.endpoint);
        let serving = Serving::new(shared, endpoint, self.observer.clone());
        let event_loop = match place {
            Place::Here => {
                running.tasks.spawn(serving);
                return Ok(());
            }
            Place::On(handle) => {
                running.tasks.spawn_on(&handle, serving);
                return Ok(());
            }
            Place::Own(event_loop) => event_loop,
        };
        let (tasks, abort) = (running.tasks.clone(), running.abort.clone());
        let thread = thread::Builder::new()
            .name(format!("tidewire-udp-{number}"))
            .spawn(move || {
                event_loop.run(async move {
                    tasks.spawn(serving);
                    abort.started().await;
                });
            });
        running.threads.push(thread.map_err(StartError::Runtime)?);
        Ok(())
    }

    /// A socket per worker.
    fn bind(&self) -> io::Result<Vec<socket2::Socket>> {
        let workers = self.config.workers.listeners();
        // Without SO_REUSEPORT first: a port that another program receives from must be an error even if that program
        // would share it.
        let first = bind(self.config.address, &self.config.socket)?;
        if workers <= 1 {
            return Ok(vec![first]);
        }
        let mut address = self.config.address;
        if let Some(local) = first.local_addr()?.as_socket() {
            address.set_port(local.port());
        }
        drop(first);
        let shared = Config {
            reuse_port: true,
            ..self.config.socket.clone()
        };
        (0..workers).map(|_| bind(address, &shared)).collect()
    }
}

/// Where a worker's task runs.
enum Place {
    Here,
    On(Handle),
    Own(EventLoop),
}

impl Place {
    fn of(workers: &Workers, number: usize) -> io::Result<Self> {
        Ok(match workers {
            Workers::Pool => Self::Here,
            Workers::On(runtime) => Self::On(runtime.slot(number).handle),
            Workers::PerCore(_) => Self::Own(EventLoop::new()?),
        })
    }

    fn handle(&self) -> Option<&Handle> {
        match self {
            Self::Here => None,
            Self::On(handle) => Some(handle),
            Self::Own(event_loop) => Some(event_loop.handle()),
        }
    }
}

/// A server that receives until [`drain`](Self::drain) or drop. Dropping it aborts its tasks and closes its sockets.
pub struct RunningServer {
    address: SocketAddr,
    multicast_to: Option<SocketAddr>,
    /// One per worker, and at least one.
    sockets: Vec<Arc<Shared>>,
    tasks: Tasks,
    abort: Drain,
    threads: Vec<thread::JoinHandle<()>>,
    observer: Option<Arc<dyn Observer<Sender>>>,
}

impl fmt::Debug for RunningServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl RunningServer {
    /// The address it is bound to, with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The counters of all of its sockets together.
    pub fn traffic(&self) -> Traffic {
        let mut total = Traffic::default();
        for socket in &self.sockets {
            total += socket.traffic();
        }
        total
    }

    /// A handle to send from the server's address, to anybody; that of the first worker.
    pub fn sender(&self) -> Sender {
        Sender {
            shared: Arc::clone(&self.sockets[0]),
        }
    }

    /// As [`sender`](Self::sender), one per worker.
    pub fn senders(&self) -> Vec<Sender> {
        let sender = |shared: &Arc<Shared>| Sender {
            shared: Arc::clone(shared),
        };
        self.sockets.iter().map(sender).collect()
    }

    /// Sends to [`multicast_to`](ServerConfig::multicast_to); waits while the queue is full.
    ///
    /// # Errors
    /// [`SendError`]; [`NoPeer`](SendError::NoPeer) if there is no such address.
    ///
    /// # Cancel safety
    /// As [`Sender::send`].
    pub async fn multicast(&self, payload: &[u8]) -> Result<(), SendError> {
        let to = self.multicast_to.ok_or(SendError::NoPeer)?;
        self.sender().send_to(payload, to).await
    }

    /// As [`multicast`](Self::multicast), but waits for `timeout` at most.
    ///
    /// # Errors
    /// As [`multicast`](Self::multicast), and [`SendError::Timeout`].
    ///
    /// # Cancel safety
    /// As [`Sender::send`].
    pub async fn multicast_timeout(
        &self,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<(), SendError> {
        let to = self.multicast_to.ok_or(SendError::NoPeer)?;
        self.sender().send_to_timeout(payload, to, timeout).await
    }

    /// As [`multicast`](Self::multicast), without waiting.
    ///
    /// # Errors
    /// As [`multicast`](Self::multicast), and [`SendError::Full`].
    pub fn try_multicast(&self, payload: &[u8]) -> Result<(), SendError> {
        let to = self.multicast_to.ok_or(SendError::NoPeer)?;
        self.sender().try_send_to(payload, to)
    }

    /// Receives from a group from now on; the first worker does.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn join(&self, group: &Group) -> Result<(), GroupError> {
        self.sockets[0].join(group)
    }

    /// Receives from a group no longer.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn leave(&self, group: &Group) -> Result<(), GroupError> {
        self.sockets[0].leave(group)
    }

    /// Begins the drain without waiting for its end: what has come is still received and answered, then the sockets are
    /// closed.
    pub fn start_drain(&self) {
        for socket in &self.sockets {
            socket.start_close();
        }
    }

    /// Waits until all sockets are closed.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn ended(&self) {
        self.tasks.ended().await;
    }

    /// Lets the sockets receive and answer what has come, sends what is queued, closes them, and waits for that at most
    /// `within`; what remains then is aborted. Returns whether none remained.
    ///
    /// # Cancel safety
    /// Not cancel safe: when dropped, tasks are aborted.
    pub async fn drain(mut self, within: Duration) -> bool {
        self.start_drain();
        let finished = timeout(within, self.tasks.ended()).await.is_ok();
        self.abort.start();
        self.tasks.abort();
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
        self.abort.start();
        self.tasks.abort();
        for socket in self.sockets.drain(..) {
            socket.close();
        }
        if let Some(observer) = self.observer.take() {
            observer.stopped();
        }
    }
}

/// Tells of a socket's end, however that comes.
struct Observed {
    observer: Arc<dyn Observer<Sender>>,
    sender: Sender,
}

impl Observed {
    fn begin(observer: Arc<dyn Observer<Sender>>, sender: &Sender) -> Self {
        observer.connected(sender);
        let sender = sender.clone();
        Self { observer, sender }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.observer.disconnected(&self.sender);
    }
}

/// An endpoint at work on a socket; what it sends during a poll leaves at its end.
struct Serving {
    shared: Arc<Shared>,
    task: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Serving {
    fn new(
        shared: Arc<Shared>,
        endpoint: Endpoint,
        observer: Option<Arc<dyn Observer<Sender>>>,
    ) -> Self {
        let served = Arc::clone(&shared);
        let task = Box::pin(async move {
            let socket = Socket::new(Arc::clone(&served));
            let _observed = observer.map(|it| Observed::begin(it, &socket.sender));
            // Until the system has told so, nothing could be sent.
            served.io.writable().await.ok();
            endpoint(socket).await;
            served.finish().await;
        });
        Self { shared, task }
    }
}

impl Future for Serving {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let turn = Turn::begin(&*this.shared);
        let result = this.task.as_mut().poll(cx);
        drop(turn);
        this.shared.flush_turn();
        result
    }
}

//! The server of each pair.
//!
//! Messages of clients come back; or, of a multicast server, everybody is sent messages at a rate (`multicast`). Every
//! thread has a runtime and connections of its own.

mod multicast; // messages at a rate
mod identity; // the certificate to show
mod tcp; // bytes over TCP and TLS
mod udp; // datagrams, and groups of receivers
mod proto; // the FBE simple protocol
mod http; // HTTP and HTTPS
mod ws; // WebSocket and WebSocket over TLS

use std::{
    io,
    net::{AddrParseError, IpAddr, SocketAddr},
    num::NonZeroUsize,
    time::Duration,
};

use tidewire::{
    service::{StartError, Workers},
    tls::{ServerTls, TlsError},
};
use tokio::runtime::Runtime;

use self::multicast::Multicast;
use super::{
    progress::Progress,
    scenario::{Benchmark, ServerSettings, Transport},
};

/// A server that could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is none.
    #[error("expected an IP address of this machine, not {address:?}")]
    Address {
        /// The text that was given.
        address: String,
        /// Why it is none.
        source: AddrParseError,
    },
    /// It cannot listen.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No socket can be bound.
    #[error(transparent)]
    Bind(#[from] tidewire::udp::StartError),
    /// Certificate or key cannot be used.
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
    /// No certificate could be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// A thread or its runtime could not be made.
    #[error("cannot start a thread")]
    Thread(#[from] io::Error),
}

/// A server of a pair that runs. Dropping it aborts its connections.
pub struct PairServer {
    settings: ServerSettings,
    address: SocketAddr,
    /// TLS is made once, so that a restart shows the same certificate.
    tls: Option<ServerTls>,
    runtime: Runtime,
    running: Option<Running>,
}

/// The server that was started, and its multicast.
struct Running {
    server: Box<dyn Drained>,
    /// Declared behind the server that it sends by, and stopped before it.
    multicast: Option<Multicast>,
}

/// A running server, whatever it speaks.
trait Drained {
    fn local_addr(&self) -> SocketAddr;

    /// Stops accepting and tells all connections; returns when they have ended.
    fn drain(self: Box<Self>, runtime: &Runtime);

    /// Sends to everybody.
    fn publisher(&self) -> Option<Box<dyn Publish>>;
}

/// Sends to everybody who is connected.
trait Publish: Send {
    /// Sends `message` so many times.
    fn publish(&self, message: &[u8], count: u64);
}

impl std::fmt::Debug for PairServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PairServer")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl PairServer {
    /// Starts the server of a pair, and tells its steps.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn start(
        settings: &ServerSettings,
        progress: &mut dyn Progress,
    ) -> Result<Self, ServeError> {
        progress.begin("Service starting");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let is_encrypted = settings.pair.transport().is_encrypted();
        let mut server = Self {
            address: address(settings)?,
            tls: is_encrypted
                .then(|| identity::tls(settings.identity.as_ref()))
                .transpose()?,
            settings: settings.clone(),
            runtime,
            running: None,
        };
        progress.done("Service starting");
        progress.begin("Server starting");
        server.run()?;
        progress.done("Server starting");
        Ok(server)
    }

    /// The address it listens on, with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Stops the server and starts it again, at the same address.
    ///
    /// # Errors
    /// [`ServeError`]; the server does not run then.
    pub fn restart(&mut self, progress: &mut dyn Progress) -> Result<(), ServeError> {
        progress.begin("Server restarting");
        self.drain();
        self.run()?;
        progress.done("Server restarting");
        Ok(())
    }

    /// Ends all connections and returns when they have ended.
    pub fn stop(mut self, progress: &mut dyn Progress) {
        progress.begin("Server stopping");
        self.drain();
        progress.done("Server stopping");
    }

    fn run(&mut self) -> Result<(), ServeError> {
        let settings = &self.settings;
        let workers = NonZeroUsize::new(settings.threads).unwrap_or(NonZeroUsize::MIN);
        let workers = Workers::PerCore(workers);
        let (address, tls) = (self.address, self.tls.clone());
        let _inside = self.runtime.enter();
        let server: Box<dyn Drained> = match settings.pair.transport() {
            Transport::Ws | Transport::Wss => Box::new(ws::start(settings, address, workers, tls)?),
            Transport::Tcp | Transport::Tls => Box::new(tcp::start(address, workers, tls)?),
            Transport::Http | Transport::Https => http::start(address, workers, tls)?,
            Transport::Udp => Box::new(udp::start(settings, address, workers)?),
            Transport::Proto => Box::new(proto::start(address, workers)?),
        };
        self.address = server.local_addr();
        let multicast = match server.publisher() {
            Some(publisher) if settings.pair.benchmark() == Benchmark::Multicast => {
                Some(Multicast::start(publisher, settings.rate, settings.size)?)
            }
            _ => None,
        };
        self.running = Some(Running { server, multicast });
        Ok(())
    }

    fn drain(&mut self) {
        if let Some(Running { server, multicast }) = self.running.take() {
            drop(multicast);
            server.drain(&self.runtime);
        }
    }
}

/// How long connections may take to end.
const DRAINING: Duration = Duration::from_secs(1);

fn address(settings: &ServerSettings) -> Result<SocketAddr, ServeError> {
    let text = &settings.address;
    let ip: Result<IpAddr, _> = text.parse();
    let ip = ip.map_err(|source| ServeError::Address {
        address: text.clone(),
        source,
    })?;
    Ok(SocketAddr::new(ip, settings.port))
}

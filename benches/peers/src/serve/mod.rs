//! The servers, one protocol for all: what comes on `/publish` goes to everyone on `/broadcast`;
//! any other path echoes.
//!
//! Each library is used as its documentation advises for throughput, on a current-thread
//! runtime with `TCP_NODELAY` and its default limits. With `--batch` answers are collected while
//! further messages are ready and then flushed, where the library lets its user do that.

mod tidewire; // ours
mod streams; // what is common to rivals that are a Stream and a Sink
mod tungstenite; // tokio-tungstenite
mod tokio_websockets;
mod sockudo; // sockudo-ws
mod yawc;
mod fastwebsockets;
mod raw; // ours without WebSocket
mod bare; // epoll and rustls by hand, without WebSocket
mod floor; // epoll and the least WebSocket that echoes, by hand

use std::{net::Ipv4Addr, path::PathBuf, sync::Arc};

use bytes::Bytes;
use clap::ValueEnum;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::broadcast,
};
use tokio_rustls::TlsAcceptor;

/// A built-in server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rival {
    /// Ours, the plain loop: receive, send.
    Tidewire,
    /// Ours, handlers that borrow each message.
    TidewireHandlers,
    /// tokio-tungstenite.
    Tungstenite,
    /// tokio-websockets.
    TokioWebsockets,
    /// fastwebsockets.
    Fastwebsockets,
    /// sockudo-ws.
    Sockudo,
    /// yawc.
    Yawc,
    /// No library: epoll, a parser without checks.
    Floor,
    /// Bytes without WebSocket: ours, the plain loop.
    Bytes,
    /// Bytes without WebSocket: ours, handlers that borrow.
    BytesHandlers,
    /// Bytes without WebSocket and without a library: epoll, rustls by hand.
    BytesBare,
}

impl Rival {
    /// All, ours first.
    pub(crate) fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// Returns whether it speaks bytes, not WebSocket.
    pub(crate) fn is_of_bytes(self) -> bool {
        matches!(self, Self::Bytes | Self::BytesHandlers | Self::BytesBare)
    }

    /// As on the command line.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Options of `serve`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The library.
    rival: Rival,
    /// Port on loopback.
    #[arg(long)]
    port: u16,
    /// Collect answers while further messages are ready.
    #[arg(long)]
    batch: bool,
    /// Speak TLS with this certificate (PEM).
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// The certificate's key (PEM).
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
}

/// Most messages collected before a flush.
const BATCH_MAX: usize = 128;

/// Publications a receiver may lag behind before it is lost; the generator never gets there.
const ROOM_CAPACITY: usize = 1024;

/// What a connection is for; its path tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Echo,
    Publish,
    Receive,
}

impl Role {
    /// By the first byte of a connection without WebSocket.
    fn of_byte(byte: u8) -> Self {
        match byte {
            b'P' => Self::Publish,
            b'R' => Self::Receive,
            _ => Self::Echo,
        }
    }

    fn of(path: &str) -> Self {
        match path {
            "/publish" => Self::Publish,
            "/broadcast" => Self::Receive,
            _ => Self::Echo,
        }
    }
}

/// What a rival's connections share.
struct Context {
    batch: bool,
    room: broadcast::Sender<Bytes>,
}

/// A library whose server is a function over an accepted stream.
trait Library: Copy + Send + Sync + 'static {
    /// Serves a connection from its first byte to its end.
    fn serve<S>(
        self,
        stream: S,
        context: Arc<Context>,
    ) -> impl Future<Output = anyhow::Result<()>> + Send
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static;
}

/// Serves until killed.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match options.rival {
        Rival::Tidewire => tidewire::run_loop(options),
        Rival::TidewireHandlers => tidewire::run_handlers(options),
        Rival::Floor => floor::run(options),
        Rival::Bytes => raw::run_loop(options),
        Rival::BytesHandlers => raw::run_handlers(options),
        Rival::BytesBare => bare::run(options),
        Rival::Tungstenite => accept(options, tungstenite::Tungstenite),
        Rival::TokioWebsockets => accept(options, tokio_websockets::TokioWebsockets),
        Rival::Fastwebsockets => accept(options, fastwebsockets::Fastwebsockets),
        Rival::Sockudo => accept(options, sockudo::Sockudo),
        Rival::Yawc => accept(options, yawc::Yawc),
    }
}

fn accept(options: &Options, library: impl Library) -> anyhow::Result<()> {
    let acceptor = acceptor(options)?;
    let context = Arc::new(Context {
        batch: options.batch,
        room: broadcast::Sender::new(ROOM_CAPACITY),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let context = Arc::clone(&context);
            match acceptor.clone() {
                None => tokio::spawn(library.serve(stream, context)),
                Some(acceptor) => tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await?;
                    library.serve(stream, context).await
                }),
            };
        }
    })
}

fn acceptor(options: &Options) -> anyhow::Result<Option<TlsAcceptor>> {
    Ok(tls_config(options)?.map(TlsAcceptor::from))
}

fn tls_config(options: &Options) -> anyhow::Result<Option<Arc<rustls::ServerConfig>>> {
    let (Some(cert), Some(key)) = (&options.cert, &options.key) else {
        return Ok(None);
    };
    let chain = vec![CertificateDer::from_pem_file(cert)?];
    let key = PrivateKeyDer::from_pem_file(key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Some(Arc::new(config)))
}

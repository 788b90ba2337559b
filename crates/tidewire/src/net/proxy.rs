//! Clients behind proxies: which proxy, and the way through it.
//!
//! In: settings and the URL. Out: a TCP stream to the server, from which nothing of the server's
//! has been read.

use std::io;

use tidewire_proto::{
    handshake::Url,
    proxy::{
        Credentials, EnvironmentError, ProxyEnvironment, ProxyUrl, ProxyUrlError, Step, Tunnel,
        TunnelError,
    },
};
use tokio::io::AsyncWriteExt as _;

use super::{Socket, dial, peek};

/// The proxy a client goes through: HTTP `CONNECT` or SOCKS5, for `ws://` and `wss://` alike.
///
/// The proxy resolves the server's name. TLS, if any, is between client and server; credentials
/// go to the proxy unencrypted.
///
/// ```no_run
/// use tidewire::ws::{Client, Proxy};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new("wss://chat.example/")?.proxy(Proxy::from_env()?);
/// let socket = client.connect().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Proxy {
    choice: Choice,
}

#[derive(Clone, Debug)]
enum Choice {
    Always(ProxyUrl),
    Environment(ProxyEnvironment),
}

impl Proxy {
    /// Always this one: `http://`, `socks5://` or `socks5h://`, see [`ProxyUrl::parse`].
    ///
    /// # Errors
    /// [`ProxyUrlError`].
    pub fn new(url: &str) -> Result<Self, ProxyUrlError> {
        ProxyUrl::parse(url).map(Self::from)
    }

    /// As [`new`](Self::new), with a user name and password.
    ///
    /// # Errors
    /// [`ProxyUrlError`].
    pub fn with_credentials(url: &str, credentials: Credentials) -> Result<Self, ProxyUrlError> {
        ProxyUrl::parse(url)?
            .with_credentials(credentials)
            .map(Self::from)
    }

    /// What the environment says: `https_proxy`, `http_proxy`, `all_proxy`, `no_proxy`, see
    /// [`ProxyEnvironment::read`]. It is read now, once.
    ///
    /// # Errors
    /// [`EnvironmentError`].
    pub fn from_env() -> Result<Self, EnvironmentError> {
        // What is no UTF-8 is no proxy's address either, and must not pass for "not set".
        let look_up =
            |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        ProxyEnvironment::read(look_up).map(Self::from)
    }

    /// The proxy for `url`; `None`: none.
    pub fn for_url(&self, url: &Url) -> Option<&ProxyUrl> {
        match &self.choice {
            Choice::Always(proxy) => Some(proxy),
            Choice::Environment(environment) => environment.proxy_for(url),
        }
    }
}

impl From<ProxyUrl> for Proxy {
    fn from(proxy: ProxyUrl) -> Self {
        Self {
            choice: Choice::Always(proxy),
        }
    }
}

impl From<ProxyEnvironment> for Proxy {
    fn from(environment: ProxyEnvironment) -> Self {
        Self {
            choice: Choice::Environment(environment),
        }
    }
}

/// Connects to `proxy` and through it to `host` and `port`.
///
/// # Cancel safety
/// Cancel safe: when dropped, the attempt is given up.
pub(crate) async fn connect(proxy: &ProxyUrl, host: &str, port: u16) -> Result<Socket, ProxyError> {
    let (mut tunnel, first) = Tunnel::new(proxy, host, port)?;
    let mut socket = dial::connect(proxy.host(), proxy.port())
        .await
        .map(Socket::from)
        .map_err(ProxyError::Unreachable)?;
    socket.write_all(&first).await.map_err(ProxyError::Lost)?;
    loop {
        let answer = peek::take(&mut socket, |bytes| {
            Ok::<_, ProxyError>(match tunnel.receive(bytes)? {
                Step::More => None,
                Step::Write { used, bytes } => Some((Some(bytes), used)),
                Step::Open { used } => Some((None, used)),
            })
        });
        match answer.await? {
            Some(bytes) => socket.write_all(&bytes).await.map_err(ProxyError::Lost)?,
            None => return Ok(socket),
        }
    }
}

/// A client found no way through its proxy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// Name resolution of the proxy's host or TCP failed.
    #[error("cannot reach the proxy")]
    Unreachable(#[source] io::Error),
    /// The connection ended before the tunnel was open.
    #[error("the connection to the proxy was lost")]
    Lost(#[source] io::Error),
    /// The proxy refused, cannot reach the server, or is no proxy of this kind.
    #[error("the proxy opened no tunnel")]
    Tunnel(#[from] TunnelError),
    /// No tunnel within the connect deadline.
    #[error("the proxy opened no tunnel in time")]
    TimedOut,
}

impl From<io::Error> for ProxyError {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

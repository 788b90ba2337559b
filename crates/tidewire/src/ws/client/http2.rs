//! The client over HTTP/2 (RFC 8441): many WebSockets on one connection.
//!
//! In: a stream to the server. Out: an [`Http2Connection`], and WebSockets of it. A task of its
//! own moves the connection's frames; it ends with the last handle or socket, or when the
//! connection is lost. Invariant: nothing is asked of a server before its settings have come.

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::{client::SendRequest, ext::Protocol};
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use tidewire_proto::handshake::{ExtendedConnect, HeadLimits, Url};
use tokio::time::{Instant, timeout, timeout_at};

use super::Client;
use crate::{
    net::{
        Peer, Socket, Stream,
        http2::{self, Http2Stream},
    },
    service::{Drain, DrainGuard},
    ws::{
        ConnectError, HttpResponse, WebSocket,
        response::{BODY_BYTES_MAX, BODY_TIMEOUT},
    },
};

/// Streams that this client opens at most before the server says otherwise; none, so that its
/// settings can be seen to have come.
const STREAMS_BEFORE_SETTINGS: usize = 0;

/// WebSockets at a time for which the server may send ahead as far as their own windows allow.
const STREAMS_WITH_WINDOW: u32 = 100;

type Connection = h2::client::Connection<Stream, Bytes>;

/// An HTTP/2 connection to a server, on which WebSockets can be opened. Clones share it.
///
/// It stays open while there is a handle or a WebSocket of it.
///
/// ```no_run
/// use tidewire::ws::Client;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new("wss://example.com/chat")?;
/// let connection = client.connect_http2().await?;
/// let first = connection.open(&client).await?;
/// let second = connection.open(&Client::new("wss://example.com/news")?).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Http2Connection {
    url: Url,
    peer: Arc<Peer>,
    requests: SendRequest<Bytes>,
    /// Ends the task; dropped last.
    task: Arc<DrainGuard>,
}

impl fmt::Debug for Http2Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Connection")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl Http2Connection {
    /// Opens a WebSocket: path, headers, subprotocols, limits and deadlines are those of `client`,
    /// whose address must have the scheme, host and port of this connection. Waits while the server
    /// allows no further stream.
    ///
    /// # Errors
    /// [`ConnectError`]; [`ConnectError::Lost`] also when the connection has ended before.
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped, the attempt is given up, the connection stays.
    pub async fn open(&self, client: &Client) -> Result<WebSocket, ConnectError> {
        self.open_until(client, client.deadline()).await
    }

    pub(super) async fn open_until(
        &self,
        client: &Client,
        deadline: Instant,
    ) -> Result<WebSocket, ConnectError> {
        timeout_at(deadline, Box::pin(self.request(client, deadline)))
            .await
            .map_err(|_elapsed| ConnectError::TimedOut)?
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    async fn request(&self, client: &Client, deadline: Instant) -> Result<WebSocket, ConnectError> {
        let place = |url: &Url| {
            (
                url.host().to_owned(),
                url.port(),
                url.unix_socket().map(ToOwned::to_owned),
            )
        };
        let origin = |url: &Url| (url.is_secure(), place(url));
        if origin(&self.url) != origin(&client.url) {
            return Err(ConnectError::OtherOrigin {
                connected: self.url.to_string(),
            });
        }
        let handshake = ExtendedConnect::new(&client.url, client.options())?;
        let request = request(&client.url, &handshake).map_err(cannot_be_sent)?;
        let lost = |error| ConnectError::Lost(http2::io_error(error));
        let mut requests = self.requests.clone().ready().await.map_err(lost)?;
        let (response, outgoing) = requests.send_request(request, false).map_err(lost)?;
        // From here on dropping it resets the stream.
        let mut pending = Pending {
            outgoing: Some(outgoing),
        };
        let (head, mut incoming) = response.await.map_err(lost)?.into_parts();
        let fields = head.headers.iter();
        let fields: Vec<_> = fields
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let agreed = match handshake.verify(head.status.as_u16(), &fields) {
            Ok(agreed) => agreed,
            Err(error) if error.status().is_some() => {
                let body = read_body(&mut incoming, deadline).await;
                return Err(refused(&client.url, &head, body));
            }
            Err(error) => return Err(error.into()),
        };
        let Some(outgoing) = pending.outgoing.take() else {
            return Err(ConnectError::Lost(io::ErrorKind::NotConnected.into()));
        };
        let task = Arc::<DrainGuard>::clone(&self.task);
        let stream = Http2Stream::new(outgoing, incoming, Some(task));
        Ok(client.socket(
            Stream::Http2(Box::new(stream)),
            Vec::new(),
            Arc::clone(&self.peer),
            agreed,
        ))
    }
}

/// A request whose answer is awaited.
struct Pending {
    outgoing: Option<h2::SendStream<Bytes>>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.send_reset(h2::Reason::CANCEL);
        }
    }
}

fn request(url: &Url, handshake: &ExtendedConnect) -> Result<Request<()>, http::Error> {
    let uri = Uri::builder()
        .scheme(if url.is_secure() { "https" } else { "http" })
        .authority(url.host_header())
        .path_and_query(url.target())
        .build()?;
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    let protocol = Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    for (name, value) in handshake.fields() {
        let name = HeaderName::from_bytes(name.as_bytes())?;
        let value = HeaderValue::from_str(value)?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

/// Reads the beginning of a refusal's body.
async fn read_body(incoming: &mut h2::RecvStream, deadline: Instant) -> (Bytes, bool) {
    let mut body = Vec::new();
    let mut is_complete = false;
    let rest = async {
        loop {
            match incoming.data().await {
                Some(Ok(data)) => {
                    // An error means that the stream has ended, which the next call tells.
                    incoming.flow_control().release_capacity(data.len()).ok();
                    let room = BODY_BYTES_MAX - body.len();
                    body.extend_from_slice(&data[..data.len().min(room)]);
                    if data.len() > room {
                        return false;
                    }
                }
                Some(Err(_lost)) => return false,
                None => return true,
            }
        }
    };
    let deadline = deadline.min(Instant::now() + BODY_TIMEOUT);
    if let Ok(ended) = timeout_at(deadline, rest).await {
        is_complete = ended;
    }
    (Bytes::from(body), is_complete)
}

fn refused(url: &Url, head: &http::response::Parts, body: (Bytes, bool)) -> ConnectError {
    let field = |(name, value): (&HeaderName, &HeaderValue)| {
        (
            name.as_str().to_owned(),
            Bytes::copy_from_slice(value.as_bytes()),
        )
    };
    let fields = head.headers.iter().map(field).collect();
    let response = HttpResponse::new(url, head.status.as_u16(), fields, body);
    ConnectError::Refused(Box::new(response))
}

fn cannot_be_sent(error: http::Error) -> ConnectError {
    ConnectError::Lost(io::Error::new(io::ErrorKind::InvalidInput, error))
}

impl Client {
    /// TLS with ALPN, prefaces and settings.
    pub(super) async fn negotiate_http2(
        &self,
        socket: Socket,
    ) -> Result<Http2Connection, ConnectError> {
        let (stream, peer) = self.stream(socket, Some(b"h2")).await?;
        let no_http2 = |source| ConnectError::NoHttp2 {
            host: self.url.host().to_owned(),
            source,
        };
        if peer.secure && !agreed_on_http2(&peer) {
            return Err(no_http2(None));
        }
        let (requests, mut connection) = builder()
            .handshake(stream)
            .await
            .map_err(|error| no_http2(Some(http2::io_error(error))))?;
        poll_fn(|cx| poll_settings(cx, &mut connection, &requests))
            .await
            .map_err(|error| no_http2(Some(error)))?;
        if !requests.is_extended_connect_protocol_enabled() {
            return Err(ConnectError::NoExtendedConnect {
                host: self.url.host().to_owned(),
            });
        }
        let unused = Drain::new();
        tokio::spawn(run(connection, unused.clone(), self.write_timeout));
        Ok(Http2Connection {
            url: self.url.clone(),
            peer: Arc::new(peer),
            requests,
            task: Arc::new(unused.guard()),
        })
    }
}

fn builder() -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(STREAMS_BEFORE_SETTINGS)
        .initial_window_size(http2::STREAM_WINDOW)
        .initial_connection_window_size(http2::connection_window(STREAMS_WITH_WINDOW))
        .max_header_list_size(u32::try_from(HeadLimits::default().bytes_max).unwrap_or(u32::MAX))
        .header_table_size(http2::HEADER_TABLE)
        .max_concurrent_reset_streams(http2::RESET_STREAMS_MAX)
        .reset_stream_duration(http2::RESET_STREAMS_FOR)
        .max_pending_accept_reset_streams(http2::PEER_RESETS_MAX)
        .max_local_error_reset_streams(Some(http2::LOCAL_RESETS_MAX))
        .max_send_buffer_size(http2::SEND_BUFFER_MAX)
        .data_frame_budget(http2::SMALL_FRAMES_BUDGET);
    builder
}

/// Moves frames until the server's settings have come.
fn poll_settings(
    cx: &mut Context<'_>,
    connection: &mut Connection,
    requests: &SendRequest<Bytes>,
) -> Poll<io::Result<()>> {
    match Pin::new(connection).poll(cx) {
        Poll::Ready(Ok(())) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
        Poll::Ready(Err(error)) => Poll::Ready(Err(http2::io_error(error))),
        Poll::Pending if requests.current_max_send_streams() > STREAMS_BEFORE_SETTINGS => {
            Poll::Ready(Ok(()))
        }
        Poll::Pending => Poll::Pending,
    }
}

fn agreed_on_http2(peer: &Peer) -> bool {
    #[cfg(feature = "tls")]
    if let Some(tls) = &peer.tls {
        return tls.alpn.as_deref() == Some(b"h2");
    }
    let _ = peer;
    false
}

/// Moves the connection's frames while it is used, then says goodbye.
async fn run(mut connection: Connection, unused: Drain, end_timeout: Duration) {
    tokio::select! {
        ended = &mut connection => {
            if let Err(error) = ended {
                tracing::debug!(%error, "HTTP/2 connection failed");
            }
            return;
        }
        () = unused.started() => {}
    }
    match timeout(end_timeout, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "HTTP/2 connection failed at its end"),
        Err(_elapsed) => tracing::debug!("HTTP/2 connection not ended in time"),
    }
}

//! The first bytes of a connection: a request head, or the preface of HTTP/2.
//!
//! In: a stream. Out: the head of its first request and what was read behind it, or a refusal. Invariant: no more
//! bytes are kept than the limits allow.

use std::{
    borrow::Cow,
    hash::{BuildHasher as _, RandomState},
    io,
    sync::Arc,
};

use bytes::Bytes;
use tidewire_proto::handshake::{HeadError, HeadLimits, Refusal, RequestHead, RequestScanner};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

#[cfg(feature = "http2")]
use tidewire_proto::handshake::ClientProtocol;

#[cfg(feature = "http2")]
use crate::net::Rewind;
use crate::{
    net::{Exceeded, Peer, Stream, stream::send_last},
    service::Sampled,
};

/// How a connection begins.
pub(crate) enum FirstRequest {
    /// With an HTTP/1.1 request.
    Http1(Received),
    /// With HTTP/2's preface, which is put back.
    #[cfg(feature = "http2")]
    Http2(Rewind<Stream>, Peer),
}

/// A request head and what was read behind it.
pub(crate) struct Received {
    pub(crate) stream: Stream,
    pub(crate) head: RequestHead,
    pub(crate) leftover: Vec<u8>,
    pub(crate) peer: Arc<Peer>,
}

/// Clients that speak something else are many when somebody scans ports.
static FOREIGN: Sampled = Sampled::new();

/// Reads the request head, or looks for HTTP/2. A malformed or oversized one is answered here; then, and when the
/// peer leaves without a request, the result is `None`.
pub(crate) async fn read(
    mut stream: Stream,
    peer: Peer,
    limits: HeadLimits,
    #[cfg(feature = "http2")] http2: bool,
) -> io::Result<Option<FirstRequest>> {
    #[cfg(feature = "http2")]
    if http2 && agreed_on_http2(&peer) {
        return Ok(Some(FirstRequest::Http2(
            Rewind::new(Bytes::new(), stream),
            peer,
        )));
    }
    let mut buffer = Vec::with_capacity(1024);
    let mut scanner = RequestScanner::default();
    let parsed = loop {
        match scanner.scan(&buffer, limits) {
            #[cfg(feature = "http2")]
            //= rfc9113#3.3: without TLS, HTTP/2 is spoken with prior knowledge only
            Err(HeadError::NotHttp(ClientProtocol::Http2)) if http2 && !peer.secure => {
                return Ok(Some(FirstRequest::Http2(
                    Rewind::new(Bytes::from(buffer), stream),
                    peer,
                )));
            }
            Ok(Some(head)) => {
                let leftover = buffer.split_off(head.end);
                // There may be somebody who keeps the head.
                buffer.shrink_to_fit();
                let head = Bytes::from(buffer).slice(head.start..);
                break RequestHead::parse(head, limits).map(|head| (head, leftover));
            }
            Ok(None) => {}
            Err(error) => break Err(error),
        }
        if buffer.capacity() - buffer.len() < 512 {
            buffer.reserve(1024);
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(None);
        }
    };
    match parsed {
        Ok((head, leftover)) => Ok(Some(FirstRequest::Http1(Received {
            stream,
            head,
            leftover,
            peer: Arc::new(peer),
        }))),
        Err(error) => {
            if let HeadError::NotHttp(found) = &error
                && let Some(left_out) = FOREIGN.admit()
            {
                let address = peer.client_address();
                tracing::info!(?address, %found, left_out, "a client does not speak HTTP/1.1");
            }
            refuse(&mut stream, &error.into()).await?;
            Ok(None)
        }
    }
}

#[cfg(feature = "http2")]
fn agreed_on_http2(peer: &Peer) -> bool {
    #[cfg(feature = "tls")]
    if let Some(tls) = &peer.tls {
        return tls.alpn.as_deref() == Some(b"h2");
    }
    let _ = peer;
    false
}

/// Answers with an HTTP error and ends the connection so that the answer arrives.
pub(crate) async fn refuse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    refusal: &Refusal,
) -> io::Result<()> {
    send_last(stream, &refusal.to_bytes()).await
}

/// What a client is told for whom there is no place.
pub(crate) fn busy(exceeded: Exceeded) -> Cow<'static, [u8]> {
    match exceeded {
        Exceeded::Connections => Cow::Owned(come_again("too many connections").to_bytes()),
        Exceeded::Rate => Cow::Owned(come_again("too many connections at once").to_bytes()),
        Exceeded::Address => Cow::Owned(too_many_of_address().to_bytes()),
    }
}

/// The answer to a client that speaks plain HTTP at a port of TLS.
pub(crate) fn without_tls() -> Cow<'static, [u8]> {
    let expected = "this address speaks TLS: https:// and wss:// instead of http:// and ws://";
    Cow::Owned(Refusal::new(400, expected).to_response().into_bytes())
}

/// The answer to a probe of a server that serves; `None` for a method that is none of a probe's.
pub(crate) fn healthy(method: &str) -> Option<String> {
    let body = match method {
        "GET" | "OPTIONS" => "ok\n",
        "HEAD" => "",
        _ => return None,
    };
    Some(format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n\
         Content-Length: 3\r\n\r\n{body}"
    ))
}

/// The answer to a client whose address has no place.
pub(crate) fn too_many_of_address() -> Refusal {
    Refusal::new(503, "too many connections from this address")
        .header("Retry-After", retry_after().to_string())
}

/// Clients that were refused together are not to come back together.
fn come_again(reason: &str) -> Refusal {
    Refusal::new(503, reason).header("Retry-After", retry_after().to_string())
}

/// Seconds after which a client that was refused may try again: each another number from 1 to 10.
pub(crate) fn retry_after() -> u64 {
    1 + RandomState::new().hash_one(()) % RETRY_WITHIN
}

/// Over so many seconds a crowd comes back.
const RETRY_WITHIN: u64 = 10;

//! The server's part of a connection before it is a WebSocket: TLS, request head, decision.
//!
//! In: an accepted TCP stream. Out: an upgraded connection, or a request for the HTTP server
//! with everything read put back. Invariant: nothing here outlives the handshake deadline.

use std::{io, sync::Arc};

use bytes::Bytes;
use tidewire_proto::handshake::{HeadLimits, HeadScanner, Refusal, RequestHead};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::{Peer, server::Shared};
#[cfg(feature = "http2")]
use crate::net::Rewind;
use crate::net::Stream;

/// How a connection begins.
pub(super) enum Arrival {
    /// With an HTTP/1.1 request.
    Request(Arrived),
    /// With HTTP/2's preface, which is put back.
    #[cfg(feature = "http2")]
    Http2(Rewind<Stream>, Peer),
}

/// A request head and what was read behind it.
pub(super) struct Arrived {
    pub(super) stream: Stream,
    pub(super) head: RequestHead,
    pub(super) leftover: Vec<u8>,
    pub(super) peer: Arc<Peer>,
}

/// Does the TLS handshake, if the server speaks TLS, within a deadline of its own.
#[cfg_attr(
    not(feature = "tls"),
    expect(clippy::unused_async, reason = "the same signature as with TLS")
)]
pub(super) async fn secure(
    tcp: TcpStream,
    mut peer: Peer,
    shared: &Shared,
) -> io::Result<(Stream, Peer)> {
    #[cfg(feature = "tls")]
    if let Some(tls) = &shared.config.tls {
        #[cfg(feature = "http2")]
        let first = shared.config.http2.then_some(&b"h2"[..]);
        #[cfg(not(feature = "http2"))]
        let first = None;
        let accepted =
            tokio::time::timeout(shared.config.limits.tls_within, tls.accept(tcp, first)).await;
        let too_slow =
            |_elapsed| io::Error::new(io::ErrorKind::TimedOut, "TLS handshake not done in time");
        let (stream, told) = accepted.map_err(too_slow)??;
        peer.secure = true;
        peer.tls = Some(Box::new(told));
        return Ok((Stream::Tls(Box::new(stream)), peer));
    }
    let _ = (shared, &mut peer);
    Ok((Stream::Plain(tcp), peer))
}

/// What an HTTP/2 client sends first (RFC 9113 section 3.4), up to where a head would end.
#[cfg(feature = "http2")]
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// Reads the request head, or looks for HTTP/2. A malformed or oversized one is answered here; then, and when the
/// peer leaves without a request, the result is `None`.
pub(super) async fn read_head(
    mut stream: Stream,
    peer: Peer,
    shared: &Shared,
) -> io::Result<Option<Arrival>> {
    #[cfg(feature = "http2")]
    if shared.config.http2 && agreed_on_http2(&peer) {
        return Ok(Some(Arrival::Http2(
            Rewind::new(Bytes::new(), stream),
            peer,
        )));
    }
    let limits: HeadLimits = shared.config.limits.head;
    let mut buffer = Vec::with_capacity(1024);
    let mut scanner = HeadScanner::default();
    let parsed = loop {
        match scanner.scan(&buffer, limits) {
            #[cfg(feature = "http2")]
            //= rfc9113#3.3: without TLS, HTTP/2 is spoken with prior knowledge only
            Ok(Some(_)) if buffer.starts_with(PREFACE) && shared.config.http2 && !peer.secure => {
                return Ok(Some(Arrival::Http2(
                    Rewind::new(Bytes::from(buffer), stream),
                    peer,
                )));
            }
            Ok(Some(len)) => {
                let leftover = buffer.split_off(len);
                break RequestHead::parse(Bytes::from(buffer), limits).map(|head| (head, leftover));
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
        Ok((head, leftover)) => Ok(Some(Arrival::Request(Arrived {
            stream,
            head,
            leftover,
            peer: Arc::new(peer),
        }))),
        Err(error) => {
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
pub(super) async fn refuse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    refusal: &Refusal,
) -> io::Result<()> {
    stream.write_all(refusal.to_response().as_bytes()).await?;
    stream.shutdown().await?;
    // Unread bytes would make the system reset the connection and drop our answer: read on, a
    // little.
    let mut sink = [0; 1024];
    for _ in 0..64 {
        if stream.read(&mut sink).await? == 0 {
            break;
        }
    }
    Ok(())
}

//! The byte stream under a connection: a socket, plain or with TLS, or a stream of HTTP/2.
//!
//! [`Rewind`] puts bytes back that were read too early, so that a request which turns out to be
//! no WebSocket upgrade can be given to an HTTP server as if nothing had been read.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::{Instant, timeout},
};

#[cfg(feature = "http2")]
use super::http2::Http2Stream;
use crate::socket::Socket;

/// A connection over TCP or a Unix socket, plain or encrypted, or a part of one.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream {
    /// The bytes as they are.
    Plain(Socket),
    /// TLS; boxed, since its state is large.
    #[cfg(feature = "tls")]
    Tls(Box<crate::tls::TlsStream>),
    /// A stream of an HTTP/2 connection; boxed, so that the others stay small.
    #[cfg(feature = "http2")]
    Http2(Box<Http2Stream>),
}

impl Stream {
    /// Our address of the connection; `None` where there is none of its own.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.socket()?.tcp()?.local_addr().ok()
    }

    /// The socket that carries it, for addresses and options: to read from it or write to it breaks the connection.
    /// `None` for a stream of HTTP/2, which shares it.
    pub fn socket(&self) -> Option<&Socket> {
        match self {
            Self::Plain(socket) => Some(socket),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Some(stream.socket()),
            #[cfg(feature = "http2")]
            Self::Http2(_) => None,
        }
    }
}

macro_rules! delegate {
    ($self:ident, $method:ident($($argument:expr),*)) => {
        match $self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).$method($($argument),*),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
            #[cfg(feature = "http2")]
            Stream::Http2(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.is_write_vectored(),
            #[cfg(feature = "http2")]
            Self::Http2(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_shutdown(cx))
    }
}

/// A stream with bytes put back in front of it.
#[derive(Debug)]
pub struct Rewind<S> {
    before: Bytes,
    stream: S,
}

impl<S> Rewind<S> {
    /// `before` is read first, then what `stream` gives.
    pub fn new(before: Bytes, stream: S) -> Self {
        Self { before, stream }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewind<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.before.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = self.before.len().min(buf.remaining());
        buf.put_slice(&self.before[..count]);
        self.before.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewind<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Sends `bytes` as the last ones and ends the connection so that they arrive.
///
/// # Cancel safety
/// Not cancel safe: when dropped, the peer may get a part.
pub(crate) async fn send_last(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    bytes: &[u8],
) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await?;
    linger(stream, DISCARDED_MAX).await
}

/// Bytes of a peer that are read and dropped behind its last answer. There are clients that read an answer only when
/// they have sent all of their request.
pub(crate) const DISCARDED_MAX: u64 = 256 << 20;

/// A peer that has sent nothing for this long behind its last answer has read it, or never will.
const SILENCE: Duration = Duration::from_secs(5);

/// Bytes that a peer has to send behind its last answer in each [`PACE_WINDOW`]: who still sends a body is faster, and who sends a
/// byte now and then only keeps a place.
const PACE_BYTES: u64 = 10 << 10;

const PACE_WINDOW: Duration = Duration::from_secs(10);

/// Says that nothing more will be sent, and reads on until the peer has ended its direction too, has been silent for
/// five seconds, is slower than [`PACE_BYTES`] in a [`PACE_WINDOW`], or has sent `discarded_max` bytes. Unread bytes would make the system reset the connection and drop
/// what was sent.
///
/// # Cancel safety
/// Not cancel safe: when dropped, what was sent may be lost.
pub(crate) async fn linger(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    discarded_max: u64,
) -> io::Result<()> {
    stream.shutdown().await?;
    let mut sink = vec![0; 16 << 10];
    let mut discarded = 0;
    let (mut since, mut before) = (Instant::now(), 0);
    while discarded < discarded_max {
        match timeout(SILENCE, stream.read(&mut sink)).await {
            Ok(Ok(count @ 1..)) => discarded += count as u64,
            Ok(Ok(0)) | Err(_) => break,
            Ok(Err(error)) => return Err(error),
        }
        if since.elapsed() >= PACE_WINDOW {
            if discarded - before < PACE_BYTES {
                break;
            }
            (since, before) = (Instant::now(), discarded);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::{io::duplex, time::sleep};

    use super::*;

    /// Sends `len` bytes every second, `count` times, then nothing, and does not end its direction.
    async fn slow_client(mut far: impl AsyncWrite + Unpin, count: u64, len: usize) {
        for _ in 0..count {
            sleep(Duration::from_secs(1)).await;
            if far.write_all(&vec![b'x'; len]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_last_answer_waits_for_a_slow_client_to_stop_sending() {
        let (mut near, far) = duplex(4096);
        let client = tokio::spawn(slow_client(far, 100, 10_000));
        let begun = Instant::now();
        send_last(&mut near, b"answer").await.unwrap();
        assert_eq!(begun.elapsed(), Duration::from_secs(100) + SILENCE);
        client.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_stops_is_left_at_the_bound() {
        let (mut near, far) = duplex(4096);
        let client = tokio::spawn(slow_client(far, u64::MAX, 2000));
        let begun = Instant::now();
        linger(&mut near, 100_000).await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 50);
        client.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_a_byte_now_and_then_keeps_no_place() {
        for len in [1, 1000] {
            let (mut near, far) = duplex(4096);
            let client = tokio::spawn(slow_client(far, u64::MAX, len));
            let begun = Instant::now();
            linger(&mut near, DISCARDED_MAX).await.unwrap();
            assert_eq!(begun.elapsed(), PACE_WINDOW);
            client.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_slows_down_after_a_flood_keeps_no_place_either() {
        let (mut near, mut far) = duplex(4096);
        let client = tokio::spawn(async move {
            far.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
            slow_client(far, u64::MAX, 1).await;
        });
        let begun = Instant::now();
        linger(&mut near, DISCARDED_MAX).await.unwrap();
        assert_eq!(begun.elapsed(), PACE_WINDOW * 2);
        client.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_ends_too_is_not_waited_for() {
        let (mut near, mut far) = duplex(4096);
        far.write_all(b"request").await.unwrap();
        far.shutdown().await.unwrap();
        let begun = Instant::now();
        send_last(&mut near, b"answer").await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let mut answer = String::new();
        far.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
    }
}

//! A stream of an HTTP/2 connection as a byte stream (RFC 8441 section 5).
//!
//! In: DATA frames as the `h2` crate decoded them, and bytes to send. Out: [`AsyncRead`] and
//! [`AsyncWrite`]. Invariants: the peer gets back the window of bytes that were read, never of
//! bytes that wait here, so a socket nobody reads from stops its peer; bytes are taken for sending
//! only as far as the peer's window allows and [`SEND_BUFFER_MAX`] has room.
//!
//! The end of our direction is `END_STREAM`; a stream that is dropped before is reset with CANCEL,
//! as RFC 8441 maps the reset of a TCP connection. Bytes that were written may be lost by that,
//! as with TCP.

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of one stream that the peer may send ahead of what is read.
pub(crate) const STREAM_WINDOW: u32 = 64 << 10;

/// Bytes of one stream that wait for the connection to take them.
pub(crate) const SEND_BUFFER_MAX: usize = 64 << 10;

/// What a connection may hold, beyond the bytes, for small DATA frames that are not read: each costs
/// some 256 bytes. A window full of the smallest masked messages needs 2.5 MB. Above, the
/// connection ends with `ENHANCE_YOUR_CALM`.
pub(crate) const SMALL_FRAMES_BUDGET: usize = 4 << 20;

/// Streams reset by us that are remembered, and how long: late frames on them are no error.
pub(crate) const RESET_STREAMS_MAX: usize = 32;
pub(crate) const RESET_STREAMS_FOR: Duration = Duration::from_secs(1);

/// Streams that the peer opened and reset before we looked at them (CVE-2023-44487), and streams
/// that we had to reset because the peer broke the protocol on them; more end the connection.
pub(crate) const PEER_RESETS_MAX: usize = 20;
pub(crate) const LOCAL_RESETS_MAX: usize = 64;

/// HPACK's dynamic table: the protocol's default.
pub(crate) const HEADER_TABLE: u32 = 4096;

/// The window of a connection: as much as its streams may use together, so that a stream nobody
/// reads from never stops its neighbours.
pub(crate) fn connection_window(streams_max: u32) -> u32 {
    const WINDOW_MAX: u32 = i32::MAX.unsigned_abs();
    streams_max
        .saturating_mul(STREAM_WINDOW)
        .clamp(STREAM_WINDOW, WINDOW_MAX)
}

/// What `h2` reports, as an I/O error.
pub(crate) fn io_error(error: h2::Error) -> io::Error {
    if error.is_io()
        && let Some(source) = error.get_io()
    {
        return io::Error::new(source.kind(), error);
    }
    let kind = if error.is_reset() {
        io::ErrorKind::ConnectionReset
    } else if error.is_go_away() {
        io::ErrorKind::ConnectionAborted
    } else {
        io::ErrorKind::Other
    };
    io::Error::new(kind, error)
}

/// What a connection lives as long as.
pub(crate) type Keeper = Arc<dyn Send + Sync>;

/// One stream of an HTTP/2 connection, after its opening handshake.
pub struct Http2Stream {
    send: SendStream<Bytes>,
    recv: RecvStream,
    /// Received and not yet read.
    received: Bytes,
    /// Our direction has ended.
    ended: bool,
    /// Keeps a client's connection open; dropped last.
    _connection: Option<Keeper>,
}

impl fmt::Debug for Http2Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Stream")
            .field("id", &self.recv.stream_id())
            .finish_non_exhaustive()
    }
}

impl Http2Stream {
    pub(crate) fn new(
        send: SendStream<Bytes>,
        recv: RecvStream,
        connection: Option<Keeper>,
    ) -> Self {
        Self {
            send,
            recv,
            received: Bytes::new(),
            ended: false,
            _connection: connection,
        }
    }

    /// How many of `wanted` bytes can be sent now, at least one.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.send.reserve_capacity(wanted.min(SEND_BUFFER_MAX));
        loop {
            let room = self.send.capacity().min(wanted);
            if room > 0 {
                return Poll::Ready(Ok(room));
            }
            match ready!(self.send.poll_capacity(cx)) {
                Some(Ok(_more)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
                // Not open for sending any more: the peer has reset the stream.
                None => {
                    let reason = ready!(self.send.poll_reset(cx)).map_err(io_error)?;
                    return Poll::Ready(Err(io_error(reason.into())));
                }
            }
        }
    }

    fn send(&mut self, bytes: Bytes) -> io::Result<usize> {
        let len = bytes.len();
        self.send.send_data(bytes, false).map_err(io_error)?;
        Ok(len)
    }
}

impl AsyncRead for Http2Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        // Several frames fit into one read: a batch of messages stays one.
        while buf.remaining() > 0 {
            if this.received.is_empty() {
                match this.recv.poll_data(cx) {
                    Poll::Ready(Some(Ok(bytes))) => this.received = bytes,
                    Poll::Ready(Some(Err(error))) if buf.filled().len() == before => {
                        return Poll::Ready(Err(io_error(error)));
                    }
                    Poll::Pending if buf.filled().len() == before => return Poll::Pending,
                    // An error or the end comes again with the next read.
                    Poll::Ready(Some(Err(_)) | None) | Poll::Pending => break,
                }
            }
            let count = this.received.len().min(buf.remaining());
            if count > 0 {
                buf.put_slice(&this.received[..count]);
                this.received.advance(count);
                let window = this.recv.flow_control();
                window.release_capacity(count).map_err(io_error)?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Http2Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(this.poll_room(cx, buf.len()))?;
        Poll::Ready(this.send(Bytes::copy_from_slice(&buf[..room])))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wanted = parts.iter().map(|part| part.len()).sum();
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(this.poll_room(cx, wanted))?;
        let mut bytes = BytesMut::with_capacity(room);
        for part in parts {
            let count = part.len().min(room - bytes.len());
            bytes.extend_from_slice(&part[..count]);
        }
        Poll::Ready(this.send(bytes.freeze()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was written is the connection's to send.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(Ok(()));
        }
        this.ended = true;
        Poll::Ready(this.send.send_data(Bytes::new(), true).map_err(io_error))
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        //= rfc8441#5: RST_STREAM with CANCEL stands for the reset of a TCP connection
        if !self.ended {
            self.send.send_reset(Reason::CANCEL);
        }
    }
}

//! [`TlsStream`]: the bytes inside TLS, whichever library encrypts them.

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream as RustlsStream;

use super::explain::{in_words, in_words_for_client};
use crate::socket::Socket;

/// A connection inside TLS, of either side, after the handshake.
///
/// A stream that ends without TLS's own end (`close_notify`) is an error of kind
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof): it may have been cut by somebody else.
pub struct TlsStream {
    stream: RustlsStream<Socket>,
}

impl TlsStream {
    pub(super) fn new(stream: impl Into<RustlsStream<Socket>>) -> Self {
        Self {
            stream: stream.into(),
        }
    }

    /// A server of TLS 1.3 refuses a client's certificate only after the handshake.
    fn in_words(&self, error: io::Error) -> io::Error {
        // Without TLS's own end; callers ask for this error's text.
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return error;
        }
        match &self.stream {
            RustlsStream::Client(_) => in_words_for_client(error),
            RustlsStream::Server(_) => in_words(error),
        }
    }

    /// The socket that carries it: for addresses and options. To read from it or write
    /// to it breaks the connection.
    pub fn socket(&self) -> &Socket {
        self.stream.get_ref().0
    }
}

impl fmt::Debug for TlsStream {
    /// Without the state of the encryption.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("socket", self.socket())
            .finish_non_exhaustive()
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        read.map_err(|error| self.in_words(error))
    }
}

impl AsyncWrite for TlsStream {
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

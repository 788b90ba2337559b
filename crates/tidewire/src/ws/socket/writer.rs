//! Messages sent in pieces, each as a fragment (RFC 6455 section 5.4).

use std::{fmt, future::poll_fn};

use tidewire_proto::{CloseCode, Kind};
use tokio::io::{AsyncRead, AsyncWrite};

use super::driver::Driver;
use crate::ws::SendError;

/// A message being sent in pieces.
///
/// Dropping it unfinished, after a first piece, ends the connection with 1011: the peer must not
/// take half a message for a whole one.
#[must_use = "a message ends with `finish`"]
pub struct MessageWriter<'a, S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    driver: &'a mut Driver<S>,
    kind: Kind,
    begun: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> fmt::Debug for MessageWriter<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageWriter")
            .field("kind", &self.kind)
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MessageWriter<'a, S> {
    pub(super) fn new(driver: &'a mut Driver<S>, kind: Kind) -> Self {
        Self {
            driver,
            kind,
            begun: false,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MessageWriter<'_, S> {
    /// Sends the next piece; waits while the queue is full. Pieces of a text message may cut a
    /// character; the whole must be UTF-8.
    ///
    /// # Errors
    /// [`SendError`]; the piece was not queued.
    ///
    /// # Cancel safety
    /// Cancel safe: when the future is dropped before it is ready, the piece was not queued.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), SendError> {
        self.fragment(piece, false).await?;
        self.begun = true;
        Ok(())
    }

    /// Ends the message with an empty fragment.
    ///
    /// # Errors
    /// [`SendError`].
    ///
    /// # Cancel safety
    /// When dropped before it is ready, the message is unfinished.
    pub async fn finish(mut self) -> Result<(), SendError> {
        self.fragment(b"", true).await?;
        self.begun = false;
        self.driver.shared.wake_senders();
        Ok(())
    }

    async fn fragment(&mut self, piece: &[u8], last: bool) -> Result<(), SendError> {
        let kind = self.kind;
        let driver = &mut *self.driver;
        poll_fn(|cx| driver.poll_queue(cx, |encoder| encoder.send_fragment(kind, piece, last)))
            .await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Drop for MessageWriter<'_, S> {
    fn drop(&mut self) {
        if self.begun {
            self.driver
                .start_close(CloseCode::INTERNAL_ERROR, "a message was not finished");
        }
    }
}

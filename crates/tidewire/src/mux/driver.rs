//! The task behind a connection: it alone receives from the WebSocket and sends on it.
//!
//! In: messages of the gateway, what the streams have to send. Out: frames, as many as are ready in one
//! write; while much waits to be written the streams wait, so that who has waited longest is next.
//! Receiving never waits for sending. Invariant: however the task ends, all streams are told.

use std::sync::Arc;

use tidewire_proto::{CloseCode, CloseFrame, Message, mux::FrameError};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Lost, Violation, streams::Streams};
use crate::ws::{RecvError, SendError, WebSocket};

/// With more than this waiting to be written, no frame is taken from the streams: what is queued goes
/// out in its order, whatever comes later. Enough to keep the network busy.
const QUEUE_BYTES: usize = 256 << 10;

pub(super) struct Driver<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    pub(super) socket: WebSocket<S>,
    pub(super) streams: Arc<Streams>,
    /// A frame for which the WebSocket had no room.
    pub(super) refused: Option<Message>,
}

/// What is left to do once frames were queued.
enum Queued {
    /// All; more as soon as there is work.
    All,
    /// What is queued has to be written first.
    Full,
    /// All, and the connection is to be closed.
    Finish(CloseFrame),
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Driver<S> {
    pub(super) async fn run(mut self) {
        let lost = self.go_on().await;
        if let Lost::Protocol(violation) = &lost {
            let reason = violation.to_string();
            self.close(CloseFrame::new(CloseCode::PROTOCOL_ERROR, reason))
                .await;
        }
        self.streams.end(&lost);
    }

    async fn go_on(&mut self) -> Lost {
        let sender = self.socket.sender();
        loop {
            let full = match self.queue() {
                Ok(Queued::All) => false,
                Ok(Queued::Full) => true,
                Ok(Queued::Finish(frame)) => {
                    self.close(frame).await;
                    return Lost::ClosedHere;
                }
                // Names were checked when they were asked for; everything else is ours.
                Err(error) => return Lost::Protocol(error.into()),
            };
            // Receiving writes what was queued.
            tokio::select! {
                received = self.socket.recv() => {
                    if let Err(lost) = self.received(received) {
                        return lost;
                    }
                }
                () = self.streams.work.notified(), if !full => {}
                // How it failed is what the next receive says.
                _ = sender.flush(), if full => {}
            }
        }
    }

    /// Queues what the streams have to send, as far as there is room.
    fn queue(&mut self) -> Result<Queued, FrameError> {
        loop {
            if self.socket.queued() > QUEUE_BYTES {
                return Ok(Queued::Full);
            }
            let next = match self.refused.take() {
                Some(refused) => Some(refused),
                None => self.streams.next_frame()?.map(Message::binary),
            };
            let Some(message) = next else {
                return Ok(match self.streams.finishing() {
                    Some(frame) => Queued::Finish(frame),
                    None => Queued::All,
                });
            };
            match self.socket.try_send(&message) {
                Ok(()) => {}
                Err(SendError::Full) => {
                    self.refused = Some(message);
                    return Ok(Queued::Full);
                }
                // The connection is ending; receiving tells how.
                Err(_) => return Ok(Queued::All),
            }
        }
    }

    fn received(&self, received: Result<Option<Message>, RecvError>) -> Result<(), Lost> {
        let handled = match received {
            Ok(Some(Message::Binary(message))) => self.streams.receive(&message),
            Ok(Some(Message::Text(_))) => Err(Violation::Frame(FrameError::TextMessage)),
            Ok(None) => return Err(Lost::Closed(self.socket.close_frame().cloned())),
            Err(error) => return Err(Lost::Connection(error)),
        };
        handled.map_err(Lost::Protocol)
    }

    /// Within the WebSocket's own deadline.
    async fn close(&mut self, frame: CloseFrame) {
        if let Err(error) = self.socket.close(frame.code, &frame.reason).await {
            tracing::debug!(error = %crate::ErrorChain(&error), "a gateway did not take part in closing");
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Drop for Driver<S> {
    fn drop(&mut self) {
        self.streams.end(&Lost::Runtime); // nothing, if it has ended
    }
}

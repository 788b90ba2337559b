//! The task behind a connection: it alone receives from the WebSocket and sends on it.
//!
//! In: messages of the gateway, what the streams have to send. Out: frames, one at a time, so that
//! who has waited longest is next. Receiving never waits for sending. Invariant: however the task ends,
//! all streams are told.

use std::sync::Arc;

use tidewire_proto::{CloseCode, CloseFrame, Message, mux::FrameError};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Lost, Violation, streams::Streams};
use crate::ws::{Sender, WebSocket};

pub(super) struct Driver<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    pub(super) socket: WebSocket<S>,
    pub(super) streams: Arc<Streams>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Driver<S> {
    pub(super) async fn run(mut self) {
        let sender = self.socket.sender();
        let ended = tokio::select! {
            lost = receive(&mut self.socket, &self.streams) => Ended::Lost(lost),
            ended = send(&sender, &self.streams) => ended,
        };
        let lost = match ended {
            Ended::Lost(lost) => {
                if let Lost::Protocol(violation) = &lost {
                    let reason = violation.to_string();
                    self.close(CloseFrame::new(CloseCode::PROTOCOL_ERROR, reason))
                        .await;
                }
                lost
            }
            Ended::Finish(frame) => {
                self.close(frame).await;
                Lost::ClosedHere
            }
            // What failed to be sent is told by the receiving half.
            Ended::Stuck => receive(&mut self.socket, &self.streams).await,
        };
        self.streams.end(&lost);
    }

    /// Within the WebSocket's own deadline.
    async fn close(&mut self, frame: CloseFrame) {
        if let Err(error) = self.socket.close(frame.code, &frame.reason).await {
            tracing::debug!(%error, "a gateway did not take part in closing");
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Drop for Driver<S> {
    fn drop(&mut self) {
        self.streams.end(&Lost::Runtime); // nothing, if it has ended
    }
}

enum Ended {
    Lost(Lost),
    Finish(CloseFrame),
    Stuck,
}

async fn receive<S>(socket: &mut WebSocket<S>, streams: &Streams) -> Lost
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    loop {
        let received = match socket.recv().await {
            Ok(Some(Message::Binary(message))) => streams.receive(&message),
            Ok(Some(Message::Text(_))) => Err(Violation::Frame(FrameError::TextMessage)),
            Ok(None) => return Lost::Closed(socket.close_frame().cloned()),
            Err(error) => return Lost::Connection(error),
        };
        if let Err(violation) = received {
            return Lost::Protocol(violation);
        }
    }
}

async fn send<S>(sender: &Sender<S>, streams: &Streams) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    loop {
        match streams.next_frame() {
            Ok(Some(frame)) => {
                if sender.send(Message::binary(frame)).await.is_err() {
                    return Ended::Stuck;
                }
            }
            Ok(None) => match streams.finishing() {
                Some(frame) => return Ended::Finish(frame),
                None => streams.work.notified().await,
            },
            // Names were checked when they were asked for; everything else is ours.
            Err(error) => return Ended::Lost(Lost::Protocol(error.into())),
        }
    }
}

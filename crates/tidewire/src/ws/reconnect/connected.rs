//! One connection of a reconnecting client, from the greeting to its end.
//!
//! In: the outbox, the connection, the wish to close. Out: events; what was delivered leaves the
//! outbox. Invariants: nothing is received while an event waits for room; sending goes on
//! meanwhile; nothing taken from the outbox is forgotten before it counts as delivered.

use tidewire_proto::{CloseCode, CloseFrame};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{ClientEvent, Delivery, DownReason, shared::Shared};
use crate::ws::{Incoming, RecvError, SendError, Sender, WebSocket};

/// In front of the byte count in a ping that asks for confirmation.
const CONFIRM: &[u8; 8] = b"tw-sent:";

/// How a connection ended.
pub(super) enum Ended {
    /// The owner closed; the peer's close frame.
    ByUs(Option<CloseFrame>),
    Down(DownReason),
}

pub(super) struct Connected<'a, S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    shared: &'a Shared,
    delivery: Delivery,
    socket: WebSocket<S>,
    sender: Sender<S>,
    /// An event that waits for room.
    event: Option<ClientEvent>,
    /// The connection takes no more messages; receiving tells why.
    mute: bool,
    /// The send queue is full.
    full: bool,
    /// Something may be queued that is not written.
    unwritten: bool,
    /// What the ping that is out confirms.
    pinged: Option<u64>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connected<'a, S> {
    pub(super) fn new(
        shared: &'a Shared,
        delivery: Delivery,
        socket: WebSocket<S>,
        up: ClientEvent,
    ) -> Self {
        Self {
            sender: socket.sender(),
            shared,
            delivery,
            socket,
            event: Some(up),
            mute: false,
            full: false,
            unwritten: false,
            pinged: None,
        }
    }

    pub(super) async fn run(mut self) -> Ended {
        let Shared {
            outbox,
            events,
            closing,
        } = self.shared;
        let mut closing_seen = false;
        loop {
            self.account();
            if closing.is_started() && outbox.is_empty() {
                return self.close().await;
            }
            let room = self.event.as_ref().map(len_of);
            tokio::select! {
                () = closing.started(), if !closing_seen => closing_seen = true,
                message = outbox.next(), if !self.mute && !self.full => {
                    match self.sender.try_send_counted(&message) {
                        Ok(end) => {
                            outbox.is_under_way(end);
                            self.unwritten = true;
                        }
                        Err(SendError::Full | SendError::InFragments) => {
                            self.full = true;
                            self.unwritten = true;
                        }
                        Err(_) => self.mute = true,
                    }
                }
                flushed = self.sender.flush(), if self.unwritten && !self.mute => {
                    self.unwritten = false;
                    self.full = false;
                    self.mute = flushed.is_err();
                }
                () = events.room(room.unwrap_or_default()), if room.is_some() => {
                    if let Some(event) = self.event.take() {
                        // Nobody else pushes; a closed queue means that nobody wants to know.
                        events.try_push(event, room.unwrap_or_default()).ok();
                    }
                }
                received = self.socket.recv_any(), if room.is_none() => {
                    if let Some(ended) = self.received(received) {
                        self.account();
                        return ended;
                    }
                }
            }
        }
    }

    fn received(&mut self, received: Result<Option<Incoming>, RecvError>) -> Option<Ended> {
        match received {
            Ok(Some(Incoming::Message(message))) => {
                self.event = Some(ClientEvent::Message(message));
            }
            Ok(Some(Incoming::Pong(payload))) => {
                let end = payload
                    .strip_prefix(CONFIRM)
                    .and_then(|end| end.try_into().ok())
                    .map(u64::from_be_bytes);
                if let Some(end) = end.filter(|_| end == self.pinged) {
                    self.pinged = None;
                    self.shared.outbox.delivered(end);
                }
            }
            Ok(Some(Incoming::Ping(_) | Incoming::Closing(_))) => {}
            Ok(None) => {
                let frame = self.socket.close_frame().cloned();
                return Some(Ended::Down(DownReason::Closed(frame)));
            }
            Err(error) => return Some(Ended::Down(DownReason::Lost(error))),
        }
        None
    }

    /// Forgets what counts as delivered, or asks for confirmation.
    fn account(&mut self) {
        let outbox = &self.shared.outbox;
        match self.delivery {
            Delivery::AtMostOnce => outbox.delivered(self.sender.bytes_sent()),
            Delivery::AtLeastOnce if self.pinged.is_none() && !self.mute => {
                let Some(end) = outbox.last_end() else { return };
                let ping = [CONFIRM.as_slice(), &end.to_be_bytes()].concat();
                if self.sender.try_ping(&ping).is_ok() {
                    self.pinged = Some(end);
                }
                self.unwritten = true; // full: tried again once it has been written
            }
            Delivery::AtLeastOnce => {}
        }
    }

    async fn close(mut self) -> Ended {
        match self.socket.close(CloseCode::NORMAL, "").await {
            Ok(frame) => Ended::ByUs(frame),
            Err(error) => {
                tracing::debug!(error = %crate::ErrorChain(&error), "the peer did not take part in closing");
                Ended::ByUs(None)
            }
        }
    }
}

/// What an event counts in the queue.
fn len_of(event: &ClientEvent) -> usize {
    match event {
        ClientEvent::Message(message) => message.payload().len(),
        ClientEvent::Up { .. } | ClientEvent::Down { .. } => 0,
    }
}

//! Sending from anywhere.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tidewire_proto::fbe::{Frame, MessageRef};

use super::{Direction, Log, SendError};
use crate::{net::Peer, tcp};

/// Sends on a connection, from any task or thread. Clones share one bounded queue. Keeping a sender does not keep the
/// connection open.
#[derive(Clone, Debug)]
pub struct Sender {
    tcp: tcp::Sender,
    log: Option<Log>,
}

pub(super) fn encode(message: &MessageRef<'_>) -> Result<Bytes, SendError> {
    let mut bytes = BytesMut::with_capacity(message.encoded_len());
    message.encode_into(&mut bytes).map_err(SendError::Encode)?;
    Ok(bytes.freeze())
}

impl Sender {
    pub(super) fn new(tcp: tcp::Sender, log: Option<Log>) -> Self {
        Self { tcp, log }
    }

    /// Tells the log of a message that is queued.
    fn tell(&self, message: &MessageRef<'_>) {
        if let Some(log) = &self.log {
            log.tell(Direction::Sent, message);
        }
    }

    /// Sends a message; waits while the queue is full.
    ///
    /// # Errors
    /// [`SendError`]; nothing was queued.
    ///
    /// # Cancel safety
    /// Cancel safe: when the future is dropped before it is ready, nothing was queued.
    pub async fn send(&self, message: MessageRef<'_>) -> Result<(), SendError> {
        let bytes = encode(&message)?;
        self.tcp.send(bytes).await?;
        self.tell(&message);
        Ok(())
    }

    /// As [`send`](Self::send), for at most `limit`.
    ///
    /// # Errors
    /// [`SendError`]; nothing was queued.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_timeout(
        &self,
        message: MessageRef<'_>,
        limit: Duration,
    ) -> Result<(), SendError> {
        let bytes = encode(&message)?;
        self.tcp.send_timeout(bytes, limit).await?;
        self.tell(&message);
        Ok(())
    }

    /// Sends a message if there is room, without waiting.
    ///
    /// # Errors
    /// [`SendError`]; nothing was queued.
    pub fn try_send(&self, message: MessageRef<'_>) -> Result<(), SendError> {
        let bytes = encode(&message)?;
        self.tcp.try_send(bytes)?;
        self.tell(&message);
        Ok(())
    }

    /// Passes a message on as it was received, whatever its type. See [`try_send`](Self::try_send).
    ///
    /// # Errors
    /// [`SendError`]; nothing was queued.
    pub fn try_send_frame(&self, frame: &Frame<'_>) -> Result<(), SendError> {
        Ok(self.tcp.try_send(Bytes::copy_from_slice(frame.bytes()))?)
    }

    /// Waits until everything queued, by whomever, has been given to the system.
    ///
    /// # Errors
    /// [`SendError`], when the connection has ended and something was left.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn flush(&self) -> Result<(), SendError> {
        Ok(self.tcp.flush().await?)
    }

    /// Ends the connection when everything queued has been sent, and does not wait for that.
    pub fn close(&self) {
        self.tcp.close();
    }

    /// Returns whether something can still be sent.
    pub fn is_open(&self) -> bool {
        self.tcp.is_open()
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.tcp.queued()
    }

    /// The number a server gave this session, from 1 and never twice; 0 without a server.
    pub fn id(&self) -> u64 {
        self.tcp.id()
    }

    /// Who is at the other end, and what the TLS handshake told.
    pub fn peer(&self) -> &Peer {
        self.tcp.peer()
    }

    /// The connection below, for its counters and addresses. What is sent there has to be whole messages.
    pub fn tcp(&self) -> &tcp::Sender {
        &self.tcp
    }
}

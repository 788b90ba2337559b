//! Pings and pongs, of the application and as answers (RFC 6455 sections 5.5.2 and 5.5.3).
//!
//! In: payloads. Out: frames in the send queue. Invariant: behind much that is queued only the newest pong is kept.

use super::{Encoder, State};
use crate::{SendError, frame::Opcode};

impl Encoder {
    /// Queues a ping.
    ///
    /// # Errors
    /// [`SendError::ControlTooLong`] above 125 bytes, [`SendError::Full`], [`SendError::Closed`].
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.control(Opcode::Ping, payload)?;
        self.pings = self.pings.wrapping_add(1);
        Ok(())
    }

    /// Queues a pong: the answer to a ping that was left to the application ([`Config::answer_pings`](crate::Config::answer_pings)), or a one-way
    /// sign of life (RFC 6455 section 5.5.3). While more than [`Config::control_queue_bytes_max`](crate::Config::control_queue_bytes_max) waits to be
    /// sent, only the newest pong is kept, as with automatic ones; so there is always room.
    ///
    /// # Errors
    /// [`SendError::ControlTooLong`] above 125 bytes, [`SendError::Closed`].
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        if payload.len() > 125 {
            return Err(SendError::ControlTooLong);
        }
        if self.state != State::Open {
            return Err(SendError::Closed);
        }
        self.answer_ping(payload);
        Ok(())
    }

    fn control(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), SendError> {
        if payload.len() > 125 {
            return Err(SendError::ControlTooLong);
        }
        self.room_for(payload.len())?;
        let key = self.key();
        self.transmit.frame(true, opcode, payload, key);
        Ok(())
    }

    //= rfc6455#5.5.3: a pong carries the ping's application data
    pub(super) fn answer_ping(&mut self, body: &[u8]) {
        if self.state != State::Open {
            return; // nothing follows our close frame
        }
        if self.transmit.len() <= self.config.control_queue_bytes_max {
            let key = self.key();
            self.transmit.frame(true, Opcode::Pong, body, key);
        } else {
            self.pong_waiting = Some(body.into());
        }
    }
}

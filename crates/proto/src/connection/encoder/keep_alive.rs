//! Deadlines of the sending half: pings when it is quiet, and how long to wait for the peer.

use std::{num::NonZeroU64, time::Instant};

use super::{Encoder, State, after};
use crate::PeerState;

#[derive(Clone, Copy, Debug)]
pub(super) enum KeepAlive {
    /// Ping when nothing was received since.
    Quiet { since: Instant },
    /// Our ping is out; something must be received before.
    Pinged {
        deadline: Instant,
        unsent: Option<Unsent>,
    },
}

/// A ping that waits behind other bytes: while those move, the peer is not silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsent {
    /// Bytes sent when it will have gone. Not 0, since something waits before it; so its absence takes no room.
    end: NonZeroU64,
    /// Bytes sent when last looked at.
    sent: u64,
}

impl Encoder {
    /// Something was received at `now`: the peer lives. Once per read is enough.
    #[inline]
    pub fn handle_activity(&mut self, now: Instant) {
        self.keep_alive = KeepAlive::Quiet { since: now };
    }

    /// The time is `now`: sends what is due, or gives the peer up.
    pub fn handle_timeout(&mut self, now: Instant) -> PeerState {
        match self.state {
            State::Closed | State::Failed => return PeerState::Alive,
            State::CloseSent { deadline } => {
                if now >= deadline {
                    self.state = State::Closed;
                    return PeerState::GivenUp;
                }
                return PeerState::Alive;
            }
            State::Open => {}
        }
        let Some(ping_interval) = self.config.ping_interval else {
            return PeerState::Alive;
        };
        match self.keep_alive {
            KeepAlive::Quiet { since } if now >= after(since, ping_interval) => {
                let waits = self.transmit.len() > 0;
                // A full queue is a ping of its own: its bytes must be acknowledged.
                let over = self.ping(b"").is_err() && self.is_finished();
                let end = NonZeroU64::new(self.bytes.saturating_add(self.transmit.len() as u64));
                let sent = self.bytes;
                self.keep_alive = KeepAlive::Pinged {
                    deadline: after(now, self.config.pong_timeout),
                    unsent: end.filter(|_| waits).map(|end| Unsent { end, sent }),
                };
                if over {
                    PeerState::GivenUp
                } else {
                    PeerState::Alive
                }
            }
            KeepAlive::Pinged {
                deadline,
                unsent: Some(Unsent { end, sent }),
            } if now >= deadline && self.bytes > sent => {
                let sent = self.bytes;
                self.keep_alive = KeepAlive::Pinged {
                    deadline: after(now, self.config.pong_timeout),
                    unsent: (sent < end.get()).then_some(Unsent { end, sent }),
                };
                PeerState::Alive
            }
            KeepAlive::Pinged { deadline, .. } if now >= deadline => {
                let body = self.config.silence.encode();
                self.close_frame(&body);
                self.state = State::Closed;
                PeerState::GivenUp
            }
            KeepAlive::Quiet { .. } | KeepAlive::Pinged { .. } => PeerState::Alive,
        }
    }

    /// When to call [`Self::handle_timeout`] next. Between calls it moves later, so a driver may
    /// let its timer run and ask again then; except by [`Self::close`], and by
    /// [`Self::handle_activity`] when [`Config::pong_timeout`](crate::Config::pong_timeout) is longer than
    /// [`Config::ping_interval`](crate::Config::ping_interval).
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.state, self.keep_alive, self.config.ping_interval) {
            (State::CloseSent { deadline }, ..)
            | (State::Open, KeepAlive::Pinged { deadline, .. }, Some(_)) => Some(deadline),
            (State::Open, KeepAlive::Quiet { since }, Some(ping_interval)) => {
                Some(after(since, ping_interval))
            }
            (State::Open | State::Failed | State::Closed, ..) => None,
        }
    }
}

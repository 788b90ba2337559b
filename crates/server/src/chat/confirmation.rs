//! When is a message with the peer?
//!
//! *Written*: as soon as the system has taken its bytes; what is still in its buffers when the
//! peer vanishes is lost. *Pong* (default): a ping goes out behind the messages; its pong proves
//! that the peer's WebSocket library has read everything before it. Every conforming client
//! answers pings (RFC 6455 section 5.5.2), so old clients gain this without knowing.
//!
//! At most one ping is under way; what is written meanwhile is covered by the next. A peer that
//! sends data but answers no pings is treated as *written* from then on: it is alive, and
//! keeping its messages for ever would not help it.

use std::time::Duration;

use tidewire_hub::Mark;
use tokio::time::Instant;

use crate::config::Confirm;

/// What to do after looking at the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    None,
    /// Send a ping with this payload.
    Ping([u8; 8]),
    /// Everything up to the mark has arrived.
    Confirm(Mark),
}

/// What became of an overdue ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Not overdue, or no ping is under way.
    No,
    /// The peer is alive and ignores pings: confirm what was written, now and from now on.
    Ignored(Mark),
    /// Nothing has come from the peer since: it is gone.
    Silent,
}

#[derive(Debug)]
pub(super) struct Confirmation {
    by_pong: bool,
    pong_within: Duration,
    confirmed: Mark,
    serial: u64,
    under_way: Option<UnderWay>,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    mark: Mark,
    deadline: Instant,
    /// Something was received since the ping went out.
    heard: bool,
}

impl Confirmation {
    pub(super) fn new(confirm: Confirm, pong_within: Duration, start: Mark) -> Self {
        Self {
            by_pong: confirm == Confirm::Pong,
            pong_within,
            confirmed: start,
            serial: 0,
            under_way: None,
        }
    }

    /// Everything up to `mark` has been queued on the socket, of which `unwritten` bytes the
    /// system has not taken.
    pub(super) fn queued(&mut self, mark: Mark, unwritten: usize, now: Instant) -> Step {
        if mark == self.confirmed {
            return Step::None;
        }
        if !self.by_pong {
            if unwritten > 0 {
                return Step::None;
            }
            self.confirmed = mark;
            return Step::Confirm(mark);
        }
        if self.under_way.is_some() {
            return Step::None;
        }
        self.serial += 1;
        self.under_way = Some(UnderWay {
            mark,
            deadline: now + self.pong_within,
            heard: false,
        });
        Step::Ping(self.serial.to_be_bytes())
    }

    /// A pong came.
    pub(super) fn pong(&mut self, payload: &[u8]) -> Step {
        match self
            .under_way
            .take_if(|_| payload == self.serial.to_be_bytes())
        {
            Some(UnderWay { mark, .. }) => {
                self.confirmed = mark;
                Step::Confirm(mark)
            }
            None => Step::None,
        }
    }

    /// Something else came.
    pub(super) fn heard(&mut self) {
        if let Some(under_way) = &mut self.under_way {
            under_way.heard = true;
        }
    }

    /// When to look at [`Self::overdue`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.under_way.map(|under_way| under_way.deadline)
    }

    /// The ping has not left yet: its pong may take the whole time from now.
    pub(super) fn postpone(&mut self, now: Instant) {
        if let Some(under_way) = &mut self.under_way {
            under_way.deadline = now + self.pong_within;
        }
    }

    /// The time is `now`.
    pub(super) fn overdue(&mut self, now: Instant) -> Overdue {
        match self
            .under_way
            .take_if(|under_way| now >= under_way.deadline)
        {
            None => Overdue::No,
            Some(UnderWay { heard: false, .. }) => Overdue::Silent,
            Some(UnderWay { mark, .. }) => {
                self.by_pong = false;
                self.confirmed = mark;
                Overdue::Ignored(mark)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(10);

    fn mark(number: u64) -> Mark {
        Mark::from(number)
    }

    fn by(confirm: Confirm) -> Confirmation {
        Confirmation::new(confirm, WITHIN, mark(0))
    }

    #[test]
    fn a_pong_confirms_what_was_queued_before_its_ping() {
        let (mut confirmation, now) = (by(Confirm::Pong), Instant::now());
        assert_eq!(confirmation.queued(mark(0), 0, now), Step::None);
        assert_eq!(
            confirmation.queued(mark(3), 100, now),
            Step::Ping(1_u64.to_be_bytes())
        );
        assert_eq!(
            confirmation.queued(mark(5), 0, now),
            Step::None,
            "one ping at a time"
        );
        assert_eq!(confirmation.pong(b"."), Step::None);
        assert_eq!(
            confirmation.pong(&1_u64.to_be_bytes()),
            Step::Confirm(mark(3))
        );
        assert_eq!(confirmation.pong(&1_u64.to_be_bytes()), Step::None);
        assert_eq!(
            confirmation.queued(mark(5), 0, now),
            Step::Ping(2_u64.to_be_bytes())
        );
    }

    #[test]
    fn written_confirms_when_the_system_has_everything() {
        let (mut confirmation, now) = (by(Confirm::Written), Instant::now());
        assert_eq!(confirmation.queued(mark(3), 1, now), Step::None);
        assert_eq!(confirmation.queued(mark(3), 0, now), Step::Confirm(mark(3)));
        assert_eq!(confirmation.deadline(), None);
    }

    #[test]
    fn a_peer_that_ignores_pings_but_talks_is_trusted_to_read_and_a_silent_one_is_gone() {
        let now = Instant::now();
        let mut alive = by(Confirm::Pong);
        alive.queued(mark(3), 0, now);
        alive.heard();
        assert_eq!(alive.overdue(now), Overdue::No);
        assert_eq!(alive.overdue(now + WITHIN), Overdue::Ignored(mark(3)));
        assert_eq!(
            alive.queued(mark(4), 0, now),
            Step::Confirm(mark(4)),
            "from now on by writing"
        );
        let mut silent = by(Confirm::Pong);
        silent.queued(mark(3), 0, now);
        silent.postpone(now + WITHIN);
        assert_eq!(silent.overdue(now + WITHIN), Overdue::No);
        assert_eq!(silent.overdue(now + WITHIN + WITHIN), Overdue::Silent);
    }
}

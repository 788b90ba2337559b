//! A client that sends the next message after the echo of the last, and a few at once while its backend is away;
//! it judges what it gets.
//!
//! A message is *in doubt* when it was on its way as its backend was killed: that one may have taken it along. Every other
//! message must be echoed, once, in order, to its sender.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    channel::{Channel, Received},
    outage::Outage,
    tally::Tally,
};

/// How often a client that waits looks up.
const LOOKED_UP_EVERY: Duration = Duration::from_millis(50);

/// After the backend's return, until a message in doubt is not waited for any longer.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(2);

/// Until an echo that must come is said to be missing.
const PATIENCE: Duration = Duration::from_secs(20);

/// Messages that are sent at once while the backend is away.
const BURST: u64 = 3;

/// One client and what it waits for.
pub(super) struct Client {
    channel: Channel,
    outage: Arc<Outage>,
    /// Stands before the number of each message, so that nobody else's is taken for an own one.
    mark: String,
    next: u64,
    waiting: VecDeque<Sent>,
    /// It was told that its backend is lost, and not yet of another.
    is_down: bool,
    /// Of the last time it was told, or 0.
    downs: u64,
    tally: Tally,
}

struct Sent {
    number: u64,
    at: Instant,
    /// The backend was known to be away.
    while_down: bool,
    /// Losses it had been told of then.
    downs: u64,
}

impl Client {
    pub(super) fn new(channel: Channel, outage: Arc<Outage>, mark: String) -> Self {
        Self {
            channel,
            outage,
            mark,
            next: 0,
            waiting: VecDeque::new(),
            is_down: false,
            downs: 0,
            tally: Tally::default(),
        }
    }

    /// Until `stop` is set, and then until the last message is back.
    pub(super) async fn run(mut self, think: Duration, stop: watch::Receiver<bool>) -> Tally {
        loop {
            let last = *stop.borrow();
            if let Err(why) = self.round(last).await {
                self.tally.socket_lost(&format!("{}: {why}", self.mark));
                return self.tally;
            }
            if last {
                return self.tally;
            }
            sleep(think).await;
        }
    }

    /// Sends, and waits for the echo; while the backend is away, for the echoes of a few.
    async fn round(&mut self, last: bool) -> Result<(), String> {
        let while_down = self.knows_of_loss();
        for _ in 0..if while_down { BURST } else { 1 } {
            self.send(while_down).await?;
        }
        let begun = Instant::now();
        while let Some(first) = self.waiting.front() {
            let in_doubt = self.is_in_doubt(first);
            match timeout(LOOKED_UP_EVERY, self.channel.next()).await {
                Ok(told) => self.told(told)?,
                // The next message tells what became of this one.
                Err(_) if in_doubt && !last && self.is_back_for_long() => return Ok(()),
                Err(_) if in_doubt && last && self.is_back_for_long() => {
                    self.waiting.pop_front();
                    self.tally.in_doubt += 1;
                }
                Err(_) if begun.elapsed() > PATIENCE && self.is_back_for_long() => {
                    let first = self.waiting.pop_front().map(|sent| sent.number);
                    self.tally.lost(&format!("{} {first:?}", self.mark));
                }
                Err(_) => {}
            }
            if !last && self.knows_of_loss() && !while_down {
                self.send(true).await?;
                return Ok(());
            }
        }
        Ok(())
    }

    async fn send(&mut self, while_down: bool) -> Result<(), String> {
        self.channel
            .send(&format!("{} {}", self.mark, self.next))
            .await?;
        self.waiting.push_back(Sent {
            number: self.next,
            at: Instant::now(),
            while_down,
            downs: self.downs,
        });
        self.next += 1;
        self.tally.sent += 1;
        Ok(())
    }

    /// It is told, or may know, that what it sends now waits in the gateway.
    fn knows_of_loss(&self) -> bool {
        if self.channel.is_told() {
            self.is_down
        } else {
            self.outage.is_surely_down()
        }
    }

    fn is_in_doubt(&self, sent: &Sent) -> bool {
        if sent.while_down {
            return false;
        }
        if self.channel.is_told() {
            sent.downs != self.downs
        } else {
            self.outage.may_have_taken(sent.at)
        }
    }

    fn is_back_for_long(&self) -> bool {
        !self.is_down
            && self
                .outage
                .since_back()
                .is_none_or(|since| since > GIVEN_UP_AFTER)
    }

    fn told(&mut self, told: Received) -> Result<(), String> {
        match told {
            Received::Ended(why) => Err(why),
            Received::Down => {
                self.is_down = true;
                self.downs += 1;
                Ok(())
            }
            Received::Up => {
                // Of a loss and a return shortly after each other only the return is told.
                self.downs += u64::from(!self.is_down);
                self.is_down = false;
                Ok(())
            }
            Received::Text(text) => {
                let number = text
                    .strip_prefix(&self.mark)
                    .and_then(|rest| rest.trim_start().parse().ok());
                match number {
                    Some(number) => self.echoed(number),
                    None => self.tally.misled(&format!("{}: {text}", self.mark)),
                }
                Ok(())
            }
        }
    }

    /// Whatever waits before it will not come any more, for order is kept.
    fn echoed(&mut self, number: u64) {
        while let Some(sent) = self.waiting.pop_front() {
            if sent.number == number {
                self.tally.echoed += 1;
                self.tally.echoed_late += u64::from(sent.while_down);
                // It had to wait for the backend's return.
                if let Some(since) = self.outage.since_back()
                    && since < sent.at.elapsed()
                {
                    self.tally.recoveries.push(since);
                }
                return;
            }
            if sent.number > number {
                self.waiting.push_front(sent);
                break;
            }
            if self.is_in_doubt(&sent) {
                self.tally.in_doubt += 1;
            } else {
                self.tally.lost(&format!("{} {}", self.mark, sent.number));
            }
        }
        self.tally.twice(&format!("{} {number}", self.mark));
    }
}

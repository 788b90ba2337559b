//! Tickets: what a page gets for its credentials and gives back with its WebSocket.
//!
//! In: an identity whose credentials were right in a request over HTTP. Out: a secret that stands for it once, for a
//! short time. Reason: Safari sends no basic credentials with a WebSocket, although it sends them with everything
//! else. Invariants: the table is bounded, the oldest ticket is forgotten for a new one; a ticket is good once, and
//! not after [`LIFETIME`]; tickets come from the system's random source and are never logged.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tidewire::proto::handshake::RequestHead;
use tidewire_auth::Identity;
use tokio::time::Instant;

use crate::subprotocols::{TICKET_SUBPROTOCOL, offered};

/// How long a ticket is good: from the page's request to its WebSocket, on a slow line.
pub(crate) const LIFETIME: Duration = Duration::from_secs(30);

/// The tickets given out.
#[derive(Debug)]
pub(crate) struct Tickets {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    tickets_max: usize,
    /// The hash of the map has a secret seed, so the time of a look-up tells nothing of the keys.
    open: HashMap<Arc<str>, Arc<Identity>>,
    /// In the order of giving out; those that were taken leave their place behind.
    order: VecDeque<(Instant, Arc<str>)>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("open", &self.open.len())
            .finish_non_exhaustive()
    }
}

impl Tickets {
    /// At most `tickets_max` are remembered at a time.
    pub(crate) fn new(tickets_max: usize) -> Self {
        let table = Table {
            tickets_max,
            ..Table::default()
        };
        Self {
            table: Mutex::new(table),
        }
    }

    /// From now on at most `tickets_max` are remembered; the oldest ones above that are forgotten.
    pub(crate) fn bound(&self, tickets_max: usize) {
        let mut table = self.table.lock();
        table.tickets_max = tickets_max;
        table.make_room(tickets_max);
    }

    /// Gives out a ticket for `identity`.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(crate) fn issue(&self, identity: Arc<Identity>) -> Result<Arc<str>, getrandom::Error> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let mut text = String::with_capacity(2 * random.len());
        for byte in random {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        }
        let ticket: Arc<str> = text.into();
        let now = Instant::now();
        let mut table = self.table.lock();
        table.expire(now);
        let others_max = table.tickets_max.saturating_sub(1);
        table.make_room(others_max);
        table.order.push_back((now, Arc::clone(&ticket)));
        table.open.insert(Arc::clone(&ticket), identity);
        Ok(ticket)
    }

    /// Takes the ticket among the subprotocols of a request; `None`: it has none that is good.
    pub(crate) fn take(&self, head: &RequestHead) -> Option<Arc<Identity>> {
        let mut tickets = offered(head).filter_map(|name| name.strip_prefix(TICKET_SUBPROTOCOL));
        let ticket = tickets.next()?;
        let mut table = self.table.lock();
        table.expire(Instant::now());
        table.open.remove(ticket)
    }
}

impl Table {
    fn expire(&mut self, now: Instant) {
        while let Some((issued, _)) = self.order.front()
            && now.duration_since(*issued) >= LIFETIME
        {
            self.forget_oldest();
        }
    }

    fn make_room(&mut self, tickets_max: usize) {
        while self.order.len() > tickets_max {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, ticket)) = self.order.pop_front() {
            self.open.remove(&ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    //! Kinds: good, taken before, too old, pushed out by others, never given out, several at once.

    use tidewire::proto::handshake::HeadLimits;

    use super::*;

    fn head(subprotocols: &str) -> RequestHead {
        let head = format!(
            "GET /chat HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Protocol: {subprotocols}\r\n\r\n"
        );
        RequestHead::parse(head.into(), HeadLimits::default()).unwrap()
    }

    fn issue(tickets: &Tickets) -> String {
        let identity = Arc::new(Identity::of_group());
        format!("{TICKET_SUBPROTOCOL}{}", tickets.issue(identity).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_good_once_and_for_a_short_time() {
        let tickets = Tickets::new(10);
        let (first, second) = (issue(&tickets), issue(&tickets));
        assert_ne!(first, second);
        assert!(tickets.take(&head(&format!("chat, {first}"))).is_some());
        assert!(tickets.take(&head(&first)).is_none());
        tokio::time::advance(LIFETIME).await;
        assert!(tickets.take(&head(&second)).is_none());
        let third = issue(&tickets);
        tokio::time::advance(LIFETIME.mul_f32(0.99)).await;
        assert!(tickets.take(&head(&third)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_never_given_out_is_no_ticket() {
        let tickets = Tickets::new(10);
        let good = issue(&tickets);
        let mut cut = good.clone();
        cut.pop();
        for wrong in [
            "chat",
            TICKET_SUBPROTOCOL,
            &cut,
            &format!("{good}0"),
            &good.to_uppercase(),
        ] {
            assert!(tickets.take(&head(wrong)).is_none(), "{wrong}");
        }
        assert!(tickets.take(&head(&good)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_is_forgotten_for_a_new_one() {
        let tickets = Tickets::new(2);
        let given: Vec<String> = (0..3).map(|_| issue(&tickets)).collect();
        let good: Vec<bool> = given
            .iter()
            .map(|t| tickets.take(&head(t)).is_some())
            .collect();
        assert_eq!(good, [false, true, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_smaller_bound_forgets_the_oldest_and_keeps_the_others() {
        let tickets = Tickets::new(3);
        let given: Vec<String> = (0..3).map(|_| issue(&tickets)).collect();
        tickets.bound(1);
        let good: Vec<bool> = given
            .iter()
            .map(|t| tickets.take(&head(t)).is_some())
            .collect();
        assert_eq!(good, [false, false, true]);
    }
}

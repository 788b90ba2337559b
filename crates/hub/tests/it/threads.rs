//! The same promises on real threads: nobody misses a wake-up, also when the store is busy.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use tidewire_dialect::{Classic, Dialect as _};
use tidewire_hub::{Event, Hub, Outgoing, Session, UserId};

use crate::desk::{Desk, message};

const MESSAGES: usize = 2000;
const SENDERS: usize = 3;
const RECEIVERS: usize = 3;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => thread::park(),
        }
    }
}

/// Sends numbered messages to all receivers, as fast as the hub lets it.
fn send(hub: &Arc<Hub>, sender: usize) {
    let session = hub
        .connect(format!("sender{sender}").parse::<UserId>().unwrap())
        .unwrap();
    let recipients: Vec<String> = (1..=RECEIVERS).map(|user| user.to_string()).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    for number in 0..MESSAGES {
        block_on(poll_fn(|cx| drain_until_ready(&session, cx)));
        let payload = message(session.user(), &recipients, &number.to_string());
        let command =
            Classic::decode(payload.as_bytes(), session.user(), session.settings()).unwrap();
        session.submit(command, payload.len()).unwrap();
    }
}

/// A sender's send queue holds refusals only. They are news, not loss: the hub counts each, and all
/// other messages must arrive.
fn drain_until_ready(session: &Session, cx: &mut Context<'_>) -> Poll<()> {
    let mut events = Vec::new();
    loop {
        match session.poll_outgoing(cx, &mut events, usize::MAX) {
            Poll::Ready(Outgoing::Events) => {}
            Poll::Ready(Outgoing::End(end)) => panic!("ended: {end:?}"),
            Poll::Pending => break,
        }
    }
    session.poll_ready_to_submit(cx, false)
}

/// Receives until the stop, confirming as it goes. Returns the texts per sender.
fn receive(hub: &Arc<Hub>, user: u64, done: &AtomicBool) -> Vec<Vec<usize>> {
    let session = hub.connect(UserId::from(user)).unwrap();
    let mut received = vec![Vec::new(); SENDERS];
    let mut events = Vec::new();
    loop {
        let outgoing = block_on(poll_fn(|cx| {
            let outgoing = session.poll_outgoing(cx, &mut events, 4096);
            if outgoing.is_pending() && done.load(Ordering::SeqCst) {
                return Poll::Ready(None);
            }
            outgoing.map(Some)
        }));
        match outgoing {
            None => return received,
            Some(Outgoing::End(end)) => panic!("ended: {end:?}"),
            Some(Outgoing::Events) => {}
        }
        for event in events.drain(..) {
            let Event::Publication(publication) = event else {
                panic!("expected a message, got {event:?}");
            };
            let sender = publication.sender().to_string();
            let sender: usize = sender.strip_prefix("sender").unwrap().parse().unwrap();
            received[sender].push(publication.text().parse().unwrap());
        }
        session.confirm(session.mark());
    }
}

#[test]
fn threads_deliver_everything_in_order_over_a_small_store() {
    check(64);
}

#[test]
fn threads_of_an_executor_keep_the_order_too() {
    check(0);
}

fn check(fanout_inline_max: usize) {
    let desk = Desk::with(|config| {
        config.fanout_inline_max = fanout_inline_max;
        config.outbox_messages_max = 8;
        config.in_flight_messages_max = 8;
        config.submissions_max = 16;
    });
    desk.mailbox.set_queue_max(12);
    let (stored, done) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stored.load(Ordering::SeqCst) {
                if !desk.mailbox.step() {
                    thread::yield_now();
                }
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while !stored.load(Ordering::SeqCst) {
                    if !desk.executor.run(0) {
                        thread::yield_now();
                    }
                }
            });
        }
        let receivers = (1..=RECEIVERS as u64)
            .map(|user| {
                let (hub, done) = (&desk.hub, &done);
                scope.spawn(move || receive(hub, user, done))
            })
            .collect::<Vec<_>>();
        let senders = (0..SENDERS)
            .map(|sender| {
                let hub = &desk.hub;
                scope.spawn(move || send(hub, sender))
            })
            .collect::<Vec<_>>();
        for sender in senders {
            sender.join().unwrap();
        }
        // The receivers are done when nothing is pending for any of them.
        let waiting =
            || (1..=RECEIVERS).any(|user| !desk.mailbox.pending(&user.to_string()).is_empty());
        while desk.mailbox.queued() > 0 || waiting() {
            thread::yield_now();
        }
        let totals = desk.hub.totals();
        done.store(true, Ordering::SeqCst);
        for receiver in receivers {
            receiver.thread().unpark();
            let received = receiver.join().unwrap();
            let all: usize = received.iter().map(Vec::len).sum();
            assert_eq!(all as u64, totals.accepted, "{totals:?}");
            for texts in received {
                assert!(texts.is_sorted_by(|left, right| left < right));
            }
        }
        assert_eq!(
            totals.accepted + totals.refused_busy,
            (MESSAGES * SENDERS) as u64
        );
        stored.store(true, Ordering::SeqCst);
    });
}

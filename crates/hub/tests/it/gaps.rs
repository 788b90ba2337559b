//! A store whose completions are lost for some and overtake each other: a session that sees a gap reads
//! its mailbox, and gets everything once and in order.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use proptest::prelude::*;
use tidewire_engine::{
    Append, Mailbox, MailboxStats, OnAppend, OnPurge, OnRead, Purge, SubmitError, UserKey,
};
use tidewire_hub::{Config, Hub, Job, Ports, Settings};

use crate::{
    desk::{Client, Desk, text},
    mailbox::PumpedMailbox,
};

/// Executes like the mailbox behind it, but keeps the completions until a test lets them go, in any
/// order.
struct Holding {
    inner: Arc<PumpedMailbox>,
    held: Arc<Mutex<Vec<Job>>>,
}

impl Holding {
    /// Lets one completion go, counted from the oldest; returns whether there was any.
    fn release(&self, index: usize) -> bool {
        let mut held = self.held.lock().unwrap();
        if held.is_empty() {
            return false;
        }
        let index = index % held.len();
        let complete = held.remove(index);
        drop(held);
        complete();
        true
    }
}

impl Mailbox for Holding {
    fn append(&self, append: Append, done: OnAppend) -> Result<(), SubmitError> {
        let held = Arc::clone(&self.held);
        let done = Box::new(move |result| {
            held.lock().unwrap().push(Box::new(move || done(result)));
        });
        self.inner.append(append, done)
    }

    fn read(
        &self,
        user: UserKey,
        after: u64,
        messages_max: usize,
        bytes_max: usize,
        done: OnRead,
    ) -> Result<(), SubmitError> {
        let held = Arc::clone(&self.held);
        let done = Box::new(move |result| {
            held.lock().unwrap().push(Box::new(move || done(result)));
        });
        self.inner.read(user, after, messages_max, bytes_max, done)
    }

    fn ack(&self, user: &UserKey, up_to: u64) -> Result<(), SubmitError> {
        self.inner.ack(user, up_to)
    }

    fn purge(&self, purge: Purge, done: OnPurge) -> Result<(), SubmitError> {
        self.inner.purge(purge, done)
    }

    fn stats(&self) -> MailboxStats {
        self.inner.stats()
    }

    fn stop(&self) {
        self.inner.stop();
    }
}

impl fmt::Debug for Holding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Holding")
    }
}

/// Two hubs on one store. The receiver is connected to the near one, whose completions are held; what is
/// sent through the far one completes there, so the near one never hears of it.
struct World {
    mailbox: Arc<PumpedMailbox>,
    holding: Arc<Holding>,
    receiver: Client,
    near: Client,
    far: Client,
    _desks: [Desk; 2],
    sent: u64,
    received: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    SendNear,
    SendFar,
    Execute,
    Release(usize),
    Receive,
    Confirm,
}

impl World {
    fn new(outbox_messages_max: usize) -> Self {
        let far = Desk::new();
        let mailbox = Arc::clone(&far.mailbox);
        let holding = Arc::new(Holding {
            inner: Arc::clone(&mailbox),
            held: Arc::default(),
        });
        let config = Config {
            outbox_messages_max,
            ..Config::default()
        };
        let settings = Settings::try_from(config).unwrap();
        let near = Desk {
            hub: Hub::with_ports(settings, Ports::new(holding.clone())),
            mailbox: Arc::clone(&mailbox),
            clock: Arc::clone(&far.clock),
            executor: Arc::default(),
        };
        Self {
            receiver: near.connect("1"),
            near: near.connect("2"),
            far: far.connect("3"),
            _desks: [near, far],
            mailbox,
            holding,
            sent: 0,
            received: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::SendNear | Step::SendFar => {
                let sender = if matches!(step, Step::SendNear) {
                    &self.near
                } else {
                    &self.far
                };
                sender.send(&["1"], &self.sent.to_string());
                self.sent += 1;
            }
            Step::Execute => {
                self.mailbox.step();
            }
            Step::Release(index) => {
                self.holding.release(index);
            }
            Step::Receive => {
                for message in self.receiver.poll_once(usize::MAX) {
                    self.received.push(text(&message).parse().unwrap());
                }
            }
            Step::Confirm => self.receiver.confirm(),
        }
    }

    fn settle(&mut self) {
        for _ in 0..100 {
            self.mailbox.pump();
            while self.holding.release(0) {}
            self.step(Step::Receive);
            self.step(Step::Confirm);
        }
    }

    /// After one more message of which the near hub hears in order, everything has arrived once.
    fn finish(mut self) {
        self.settle();
        self.step(Step::SendNear);
        self.settle();
        assert!(self.receiver.end.is_none(), "{:?}", self.receiver.end);
        assert_eq!(self.received, (0..self.sent).collect::<Vec<_>>());
        assert!(self.mailbox.pending("1").is_empty(), "all was confirmed");
    }
}

#[test]
fn a_message_of_which_nobody_told_comes_with_the_next_one() {
    let mut world = World::new(100);
    world.settle();
    world.step(Step::SendFar);
    world.settle();
    assert_eq!(world.received, [0; 0]);
    let reads = world.mailbox.reads();
    world.step(Step::SendNear);
    world.settle();
    assert_eq!(world.received, [0, 1]);
    assert_eq!(world.mailbox.reads(), reads + 1);
    world.step(Step::SendNear);
    world.settle();
    assert_eq!(world.received, [0, 1, 2]);
    assert_eq!(
        world.mailbox.reads(),
        reads + 1,
        "without a gap nothing is read"
    );
}

/// All orders of the completions of four messages, each of them sent through either hub.
#[test]
fn completions_in_every_order_and_lost_ones_deliver_all_once() {
    for far in 0..16_usize {
        for order in 0..24_usize {
            let mut world = World::new(100);
            world.settle();
            for message in 0..4 {
                let is_far = far >> message & 1 == 1;
                world.step(if is_far {
                    Step::SendFar
                } else {
                    Step::SendNear
                });
                world.step(Step::Execute);
            }
            // The digits of a number in the factorial system choose a permutation.
            for step in [order / 6, order / 2 % 3, order % 2, 0] {
                world.step(Step::Release(step));
                world.step(Step::Receive);
            }
            world.finish();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_schedule_over_a_store_that_tells_little_delivers_all_once(
        steps in prop::collection::vec(prop_oneof![
            3 => Just(Step::SendNear),
            2 => Just(Step::SendFar),
            5 => Just(Step::Execute),
            5 => (0..4_usize).prop_map(Step::Release),
            2 => Just(Step::Receive),
            1 => Just(Step::Confirm),
        ], 0..100),
        outbox_messages_max in prop_oneof![Just(1_usize), Just(2), Just(100)],
    ) {
        let mut world = World::new(outbox_messages_max);
        for step in steps {
            world.step(step);
        }
        world.finish();
    }
}

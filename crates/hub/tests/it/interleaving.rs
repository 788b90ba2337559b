//! Connects, appends, reads, confirmations and disconnects in any order: every accepted message
//! reaches every connected session once and in order, and stays until one has confirmed it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::desk::{Client, Desk};

/// What a schedule may do next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Send {
        from: usize,
        to: usize,
    },
    Execute,
    /// Delivers something, if the executor has anything.
    Work {
        index: usize,
    },
    Connect {
        user: usize,
    },
    Disconnect {
        index: usize,
    },
    Receive {
        index: usize,
        bytes_max: usize,
    },
    Confirm {
        index: usize,
    },
}

const USERS: [&str; 3] = ["1", "2", "carl"];

struct World {
    desk: Desk,
    senders: Vec<Client>,
    clients: Vec<Receiver>,
    /// Texts sent to each user in order of submission, which is the order of execution here.
    sent: BTreeMap<usize, Vec<u64>>,
    next: u64,
}

struct Receiver {
    user: usize,
    client: Client,
    received: Vec<u64>,
    /// Messages submitted to the user before the session connected.
    sent_before: usize,
}

impl World {
    fn new(outbox_messages_max: usize, fanout_inline_max: usize) -> Self {
        let desk = Desk::with(|config| {
            config.fanout_inline_max = fanout_inline_max;
            config.outbox_messages_max = outbox_messages_max;
            config.in_flight_messages_max = 3;
        });
        let senders = ["s1", "s2"]
            .map(|user| desk.online(user))
            .into_iter()
            .collect();
        Self {
            desk,
            senders,
            clients: Vec::new(),
            sent: BTreeMap::new(),
            next: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { from, to } => {
                self.senders[from].send(&[USERS[to]], &self.next.to_string());
                self.sent.entry(to).or_default().push(self.next);
                self.next += 1;
            }
            Step::Execute => {
                self.desk.mailbox.step();
            }
            Step::Work { index } => {
                self.desk.executor.run(index);
            }
            Step::Connect { user } => {
                let client = self.desk.connect(USERS[user]);
                self.clients.push(Receiver {
                    user,
                    client,
                    received: Vec::new(),
                    sent_before: self.sent.get(&user).map_or(0, Vec::len),
                });
            }
            Step::Disconnect { index } if !self.clients.is_empty() => {
                let index = index % self.clients.len();
                let gone = self.clients.swap_remove(index);
                gone.check(&self.sent);
            }
            Step::Receive { index, bytes_max } if !self.clients.is_empty() => {
                let index = index % self.clients.len();
                self.clients[index].receive(bytes_max);
            }
            Step::Confirm { index } if !self.clients.is_empty() => {
                let index = index % self.clients.len();
                self.clients[index].client.confirm();
            }
            Step::Disconnect { .. } | Step::Receive { .. } | Step::Confirm { .. } => {}
        }
    }

    /// Runs everything to its end. Then each session that was not ended has everything up to the
    /// last message, and a last device finds nothing that was confirmed and misses nothing else.
    fn finish(mut self) {
        for _ in 0..200 {
            self.desk.settle();
            for receiver in &mut self.clients {
                receiver.receive(usize::MAX);
                receiver.client.confirm();
            }
        }
        assert_eq!(self.desk.mailbox.queued(), 0);
        for receiver in &self.clients {
            receiver.check(&self.sent);
            let sent = self.sent.get(&receiver.user).map_or(&[][..], Vec::as_slice);
            // What was submitted after the connect executes after the first read.
            let due = &sent[receiver.sent_before..];
            if receiver.client.end.is_none() {
                assert!(
                    receiver.received.ends_with(due),
                    "{receiver:?}, due {due:?}"
                );
            }
        }
        let drained: Vec<usize> = self.clients.iter().map(|receiver| receiver.user).collect();
        let ended = self
            .clients
            .iter()
            .any(|receiver| receiver.client.end.is_some());
        for (user, name) in USERS.iter().enumerate() {
            if drained.contains(&user) && !ended {
                assert!(self.desk.mailbox.pending(name).is_empty(), "{name} has all");
            }
        }
    }
}

impl Receiver {
    fn receive(&mut self, bytes_max: usize) {
        for message in self.client.poll_once(bytes_max) {
            self.received
                .push(crate::desk::text(&message).parse().unwrap());
        }
    }

    /// What was received is a run without gaps and repetitions of what was sent to the user.
    fn check(&self, sent: &BTreeMap<usize, Vec<u64>>) {
        let sent = sent.get(&self.user).map_or(&[][..], Vec::as_slice);
        let Some(first) = self.received.first() else {
            return;
        };
        let start = sent.iter().position(|text| text == first).unwrap();
        let run = &sent[start..(start + self.received.len()).min(sent.len())];
        assert_eq!(self.received, run, "{self:?}");
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "user {} received {:?}",
            USERS[self.user], self.received
        )
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..2_usize, 0..3_usize).prop_map(|(from, to)| Step::Send { from, to }),
        8 => Just(Step::Execute),
        4 => any::<usize>().prop_map(|index| Step::Work { index }),
        2 => (0..3_usize).prop_map(|user| Step::Connect { user }),
        1 => any::<usize>().prop_map(|index| Step::Disconnect { index }),
        4 => (any::<usize>(), prop_oneof![Just(1), Just(400), Just(usize::MAX)])
            .prop_map(|(index, bytes_max)| Step::Receive { index, bytes_max }),
        3 => any::<usize>().prop_map(|index| Step::Confirm { index }),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_schedule_delivers_in_order_without_loss_or_repetition(
        steps in steps(),
        outbox_messages_max in prop_oneof![Just(1_usize), Just(2), Just(3), Just(100)],
        fanout_inline_max in prop_oneof![Just(0_usize), Just(1), Just(64)],
    ) {
        let mut world = World::new(outbox_messages_max, fanout_inline_max);
        for step in steps {
            world.step(step);
        }
        world.finish();
    }
}

/// All orders of three sends and one connect, with the store executing at every possible pace, and the
/// executor as well.
#[test]
fn every_order_of_connect_append_read_and_delivery_delivers_all_once() {
    for connect_at in 0..=3 {
        // Bit by bit: whether the store executes one command after each action, and the executor a job.
        for paces in 0..256_u32 {
            for outbox_messages_max in [1, 2, 100] {
                let mut world = World::new(outbox_messages_max, 0);
                for action in 0..=3 {
                    if action == connect_at {
                        world.step(Step::Connect { user: 1 });
                    } else {
                        world.step(Step::Send { from: 0, to: 1 });
                    }
                    if paces >> action & 1 == 1 {
                        world.step(Step::Execute);
                    }
                    if paces >> (4 + action) & 1 == 1 {
                        world.step(Step::Work { index: 0 });
                    }
                }
                for _ in 0..10 {
                    world.desk.settle();
                    world.clients[0].receive(usize::MAX);
                    world.clients[0].client.confirm();
                }
                assert_eq!(
                    world.clients[0].received,
                    [0, 1, 2],
                    "connect at {connect_at}, paces {paces:b}, outbox {outbox_messages_max}"
                );
            }
        }
    }
}

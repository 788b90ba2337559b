//! Random peers, silences and clocks against two promises: nothing is confirmed that the peer has not
//! read, and a peer that works, however slowly, gets everything in the end.
//!
//! The peer is simulated frame by frame. What it has read is known to the test alone.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::{tests::beginning, *};

/// How a peer answers pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manners {
    Echo,
    /// With two bytes before the payload.
    Prefixed,
    Empty,
    Mute,
    /// Echoes, and sends empty pongs every second without reading.
    Heartbeats,
}

#[derive(Clone, Copy, Debug)]
enum Frame {
    Message,
    Ping([u8; 8]),
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// So many messages are there for the peer.
    Messages(u8),
    /// The peer reads so many frames.
    Reads(u8),
    /// The peer sends something of its own.
    Talks,
    /// The system takes what is queued; else it stands in the queue.
    Takes(bool),
    /// Milliseconds pass.
    Passes(u16),
}

struct World {
    confirmation: Confirmation,
    now: Instant,
    manners: Manners,
    /// Sent and not read.
    stream: VecDeque<Frame>,
    /// Messages that wait for the window.
    waiting: u64,
    sent: u64,
    read: u64,
    confirmed: u64,
    window: u64,
    takes: bool,
    answers: bool,
    ended: bool,
    heartbeat_at: Instant,
}

impl World {
    fn new(manners: Manners, unproven_sessions: u32) -> Self {
        let now = Instant::now();
        let beginning = Beginning {
            unproven_sessions,
            ..beginning()
        };
        let mut world = Self {
            confirmation: Confirmation::new(beginning, now),
            now,
            manners,
            stream: VecDeque::new(),
            waiting: 0,
            sent: 0,
            read: 0,
            confirmed: 0,
            window: u64::MAX,
            takes: true,
            answers: false,
            ended: false,
            heartbeat_at: now,
        };
        world.act();
        world
    }

    fn act(&mut self) {
        while let Some(action) = self.confirmation.poll_action() {
            match action {
                Action::Confirm(mark) => {
                    let count = mark.since(Mark::default());
                    assert!(
                        count <= self.read,
                        "confirmed {count} of {} read",
                        self.read
                    );
                    assert!(count > self.confirmed, "confirmed twice");
                    self.confirmed = count;
                }
                Action::Release => assert!(!self.answers, "released before a peer with pongs"),
                Action::SetWindow(window) => self.window = window.messages.into(),
                Action::Ping(payload) => self.stream.push_back(Frame::Ping(payload)),
                Action::GiveUp => self.ended = true,
                Action::Answers => self.answers = true,
                Action::BeginUnanswered | Action::Forget(_) | Action::Hold => {}
            }
        }
    }

    fn hand_out(&mut self) {
        while self.waiting > 0 && self.sent - self.confirmed < self.window.max(1) {
            self.waiting -= 1;
            self.sent += 1;
            self.stream.push_back(Frame::Message);
        }
        let queued = Queued {
            mark: Mark::from(self.sent),
            bytes: self.sent * 100,
            unwritten: if self.takes { 0 } else { 100 },
        };
        self.confirmation.handle_queued(queued, self.now);
        self.act();
    }

    fn pong(&mut self, payload: &[u8]) {
        self.confirmation.handle_received(self.now);
        self.confirmation.handle_pong(payload, self.now);
        self.act();
    }

    fn read_frame(&mut self) {
        match self.stream.pop_front() {
            None => {}
            Some(Frame::Message) => self.read += 1,
            Some(Frame::Ping(payload)) => match self.manners {
                Manners::Echo | Manners::Heartbeats => self.pong(&payload),
                Manners::Prefixed => self.pong(&[&[0, 0][..], &payload].concat()),
                Manners::Empty => self.pong(b""),
                Manners::Mute => {}
            },
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while !self.ended {
            let due = self.confirmation.deadline().filter(|at| *at <= end);
            let beats = self.manners == Manners::Heartbeats && self.heartbeat_at <= end;
            match due {
                Some(at) if !beats || at <= self.heartbeat_at => {
                    self.now = self.now.max(at);
                    self.confirmation.handle_timeout(self.now);
                    self.act();
                }
                _ if beats => {
                    self.now = self.now.max(self.heartbeat_at);
                    self.heartbeat_at += Duration::from_secs(1);
                    self.pong(b"");
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Messages(count) => self.waiting += u64::from(count),
            Event::Reads(count) => (0..count).for_each(|_| self.read_frame()),
            Event::Talks => self.confirmation.handle_received(self.now),
            Event::Takes(takes) => {
                if takes && !self.takes {
                    self.confirmation.handle_written(self.now);
                }
                self.takes = takes;
            }
            Event::Passes(millis) => self.pass(Duration::from_millis(millis.into())),
        }
        if !self.ended {
            self.hand_out();
        }
    }
}

fn manners() -> impl Strategy<Value = Manners> {
    prop_oneof![
        Just(Manners::Echo),
        Just(Manners::Prefixed),
        Just(Manners::Empty),
        Just(Manners::Mute),
        Just(Manners::Heartbeats),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0_u8..40).prop_map(Event::Messages),
        4 => (0_u8..40).prop_map(Event::Reads),
        1 => Just(Event::Talks),
        1 => any::<bool>().prop_map(Event::Takes),
        3 => (0_u16..30_000).prop_map(Event::Passes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_frames_silences_and_clocks_confirms_what_was_not_read(
        manners in manners(),
        unproven_sessions in 0_u32..8,
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut world = World::new(manners, unproven_sessions);
        for event in events {
            if world.ended {
                break;
            }
            world.step(event);
        }
    }

    #[test]
    fn a_peer_that_answers_gets_everything_whatever_each_message_takes_it(
        manners in prop_oneof![
            Just(Manners::Echo), Just(Manners::Prefixed), Just(Manners::Empty), Just(Manners::Heartbeats)
        ],
        handling_ms in 0_u64..60_000,
        messages in 1_u64..200,
    ) {
        // Each session is in vain or brings it forward; what it has proved is gone from the mailbox.
        let (mut left, mut in_vain) = (messages, 0);
        for session in 0.. {
            prop_assert!(session < messages + 20, "no end: {left} left");
            let mut world = World::new(manners, in_vain);
            world.waiting = left;
            world.hand_out();
            while !world.ended && world.confirmed < left {
                if matches!(world.stream.front(), Some(Frame::Message)) {
                    world.pass(Duration::from_millis(handling_ms));
                }
                if !world.ended {
                    world.read_frame();
                    world.hand_out();
                }
            }
            in_vain = if world.confirmed > 0 { 0 } else { in_vain + 1 };
            left -= world.confirmed;
            if left == 0 {
                break;
            }
        }
    }

    #[test]
    fn a_peer_whose_handler_is_quicker_than_the_patience_is_never_closed(
        handling_ms in 0_u64..2_000,
        messages in 1_u64..400,
    ) {
        let mut world = World::new(Manners::Echo, 0);
        world.waiting = messages;
        world.hand_out();
        while world.confirmed < messages {
            if matches!(world.stream.front(), Some(Frame::Message)) {
                world.pass(Duration::from_millis(handling_ms));
            }
            world.read_frame();
            prop_assert!(!world.ended);
            world.hand_out();
        }
    }
}

//! SIGKILL at any instant: nothing that was answered "accepted" is lost.
//!
//! Writers send through REST and WebSocket as fast as they are answered, to users who are
//! reading and users who are away. The server is killed after a random number of answers and
//! some microseconds, or while it is still starting, and started again on what is on disk.

use std::{
    mem,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinHandle};

use crate::{
    ledger::{Ledger, Reading, Sent},
    peer::{Peer, message},
    random::Random,
    rest::Rest,
    run_within,
    server::{Home, Server},
};

const KILLED_RUNNING: u64 = 50;
const KILLED_STARTING: u64 = 10;

const SOCKET_WRITERS: [u64; 2] = [1, 2];
const REST_WRITERS: [u64; 2] = [3, 4];
/// Usually connected.
const ONLINE: [u64; 3] = [11, 12, 13];
/// Connected at the end only.
const OFFLINE: [u64; 3] = [21, 22, 23];

/// Messages a WebSocket writer has under way.
const WINDOW: usize = 8;

const CONFIG: &str = "[chat]\nsend_back = true\n[mailbox]\nuser_messages_max = 1000000\n";

#[test]
fn nothing_accepted_is_lost_when_the_server_is_killed() {
    run_within(Duration::from_mins(5), async {
        let mut crash = Crash::new();
        for life in 0..KILLED_RUNNING {
            crash.live_and_die().await;
            if life % (KILLED_RUNNING / KILLED_STARTING) == 0 {
                crash.die_starting().await;
            }
        }
        crash.deliver_the_rest().await;
        crash.expect_nothing_more().await;
        let summary = crash.ledger.check();
        println!("{summary:?}");
        assert!(summary.accepted > 100, "too little to tell: {summary:?}");
    });
}

struct Crash {
    home: Home,
    random: Random,
    writers: Vec<Writer>,
    ledger: Ledger,
}

impl Crash {
    fn new() -> Self {
        let mut random = Random::printed();
        let writers = SOCKET_WRITERS.iter().chain(&REST_WRITERS);
        Self {
            home: Home::new(CONFIG),
            writers: writers
                .map(|sender| Writer {
                    sender: *sender,
                    sent: Vec::new(),
                    random: random.split(),
                })
                .collect(),
            random,
            ledger: Ledger::default(),
        }
    }

    async fn live_and_die(&mut self) {
        let server = self.home.start().await;
        let (accepted, mut progress) = watch::channel(0);
        let readers: Vec<JoinHandle<Reading>> = ONLINE
            .iter()
            .filter(|_| self.random.below(4) > 0)
            .map(|user| tokio::spawn(read(server.url("messaging").to_owned(), *user)))
            .collect();
        let writers: Vec<JoinHandle<Writer>> = mem::take(&mut self.writers)
            .into_iter()
            .map(|writer| writer.start(&server, accepted.clone()))
            .collect();

        let answers = self.random.below(40);
        progress
            .wait_for(|accepted| *accepted >= answers)
            .await
            .expect("this function holds the sender");
        work_for(Duration::from_micros(self.random.below(10_000)));
        server.kill().await;

        for writer in writers {
            self.writers.push(writer.await.expect("no panic"));
        }
        for reader in readers {
            self.ledger.readings.push(reader.await.expect("no panic"));
        }
    }

    async fn die_starting(&mut self) {
        let server = self.home.spawn(self.home.command());
        work_for(Duration::from_micros(self.random.below(50_000)));
        server.kill().await;
    }

    /// Everybody comes and reads what is there.
    async fn deliver_the_rest(&mut self) {
        let server = self.home.start().await;
        let mut rest = server.rest().await;
        for user in ONLINE.into_iter().chain(OFFLINE) {
            let mut peer = Peer::connect(&server, user).await.expect("it runs");
            mark(&mut rest, user, "the end").await;
            let envelopes = peer.until("the end").await;
            peer.confirm_and_close().await;
            self.ledger.readings.push(Reading { user, envelopes });
        }
        for writer in mem::take(&mut self.writers) {
            self.ledger.sent.extend(writer.sent);
        }
        server.stop().await;
    }

    /// What was confirmed before a graceful end does not come again.
    async fn expect_nothing_more(&self) {
        let server = self.home.start().await;
        let mut rest = server.rest().await;
        for user in ONLINE.into_iter().chain(OFFLINE) {
            mark(&mut rest, user, "really").await;
            let mut peer = Peer::connect(&server, user).await.expect("it runs");
            assert_eq!(peer.until("really").await, []);
        }
        server.stop().await;
    }
}

/// A sender over all lives of the server.
#[derive(Debug)]
struct Writer {
    sender: u64,
    sent: Vec<Sent>,
    random: Random,
}

impl Writer {
    fn start(self, server: &Server, accepted: watch::Sender<u64>) -> JoinHandle<Self> {
        if SOCKET_WRITERS.contains(&self.sender) {
            tokio::spawn(self.write_socket(server.url("messaging").to_owned(), accepted))
        } else {
            tokio::spawn(self.write_rest(server.url("rest").to_owned(), accepted))
        }
    }

    /// Until the connection is lost; an answer that is none of "accepted" fails the test.
    async fn write_rest(mut self, url: String, accepted: watch::Sender<u64>) -> Self {
        let Ok(mut rest) = Rest::connect(&url).await else {
            return self;
        };
        loop {
            let number = self.sent.len();
            let body = self.write();
            let Ok(answer) = rest.send_message(&body).await else {
                return self;
            };
            assert_eq!(answer.status, 202, "{answer:?}");
            self.accepted(number, &accepted);
        }
    }

    /// As above. The copy a sender gets back is the answer.
    async fn write_socket(mut self, messaging: String, accepted: watch::Sender<u64>) -> Self {
        let Ok(mut peer) = Peer::connect_to(&messaging, self.sender).await else {
            return self;
        };
        let mut answered = self.sent.len();
        loop {
            while self.sent.len() < answered + WINDOW {
                let text = self.write();
                if peer.socket.send(text).await.is_err() {
                    return self;
                }
            }
            let Ok(next) = peer.next().await else {
                return self;
            };
            let copy = next.expect("nobody closes");
            let number = copy.text.split(' ').next().expect("a number");
            assert_eq!(
                (copy.sender, number),
                (self.sender, answered.to_string().as_str()),
                "answers come in order"
            );
            self.accepted(answered, &accepted);
            answered += 1;
        }
    }

    /// Notes the next message before it is sent.
    fn write(&mut self) -> String {
        let number = self.sent.len() as u64;
        let mut recipients: Vec<u64> = ONLINE.into_iter().chain(OFFLINE).collect();
        let chosen = 1 + self.random.below(4);
        while recipients.len() as u64 > chosen {
            let unlucky = self.random.below(recipients.len() as u64);
            recipients.swap_remove(usize::try_from(unlucky).expect("an index"));
        }
        let filling = usize::try_from(self.random.below(2000)).expect("small");
        let text = format!("{number} {}", "x".repeat(filling));
        let message = message(self.sender, &recipients, &text);
        self.sent.push(Sent {
            sender: self.sender,
            number,
            recipients,
            accepted: false,
        });
        message
    }

    fn accepted(&mut self, number: usize, accepted: &watch::Sender<u64>) {
        self.sent[number].accepted = true;
        accepted.send_modify(|count| *count += 1);
    }
}

/// Reads until the connection is lost.
async fn read(messaging: String, user: u64) -> Reading {
    let mut envelopes = Vec::new();
    if let Ok(mut peer) = Peer::connect_to(&messaging, user).await {
        while let Ok(next) = peer.next().await {
            envelopes.push(next.expect("nobody closes"));
        }
    }
    Reading { user, envelopes }
}

/// Puts a message behind everything that waits for `user`.
async fn mark(rest: &mut Rest, user: u64, text: &str) {
    let answer = rest.send_message(&message(0, &[user], text)).await;
    assert_eq!(answer.expect("it runs").status, 202);
}

/// Keeps a core busy: an instant that no timer has chosen.
fn work_for(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

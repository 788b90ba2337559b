//! The tests that C-161 names, for ws and wss: exact counts, joining and leaving, random
//! operations.

use std::time::Duration;

use tidewire::{
    proto::{CloseCode, Message},
    ws::{Client, RunningServer, Server, WebSocket},
};

use crate::{
    server::{config, echo},
    tls::Authority,
};

/// An echo server, and how to reach it.
struct Setup {
    server: RunningServer,
    client: Client,
}

impl Setup {
    /// Over ws, and over wss.
    fn both() -> [Self; 2] {
        [false, true].map(|secure| {
            let mut config = config();
            let authority = Authority::new();
            if secure {
                config.tls = Some(authority.server());
            }
            let server = Server::new(config).route("/", echo).start().unwrap();
            let port = server.local_addr().port();
            let client = if secure {
                let client = Client::new(&format!("wss://localhost:{port}/")).unwrap();
                client.tls(authority.client())
            } else {
                Client::new(&format!("ws://127.0.0.1:{port}/")).unwrap()
            };
            Self { server, client }
        })
    }

    async fn connect(&self) -> WebSocket {
        self.client.connect().await.unwrap()
    }

    /// Waits until the server has seen as many.
    async fn settle(&self, sessions: usize) {
        while self.server.stats().sessions != sessions {
            tokio::task::yield_now().await;
        }
    }
}

async fn close(mut socket: WebSocket) {
    socket.close(CloseCode::NORMAL, "").await.unwrap();
}

/// Parity: C-161.
#[tokio::test]
async fn echo_exact_counts() {
    const COUNT: u64 = 1000;
    for setup in Setup::both() {
        let mut socket = setup.connect().await;
        for _ in 0..COUNT {
            socket.send("test").await.unwrap();
        }
        for _ in 0..COUNT {
            assert_eq!(socket.recv().await.unwrap(), Some(Message::text("test")));
        }
        socket.close(CloseCode::NORMAL, "").await.unwrap();
        let ours = socket.stats();
        drop(socket);
        setup.settle(0).await;
        let theirs = setup.server.traffic().total;
        // Header 2, mask 4, "test" 4; close frames with a code of 2 bytes.
        let (up, down) = (COUNT * 10 + 8, COUNT * 6 + 4);
        assert_eq!((ours.messages_sent, ours.messages_received), (COUNT, COUNT));
        assert_eq!((ours.bytes_sent, ours.bytes_received), (up, down));
        assert_eq!(
            (theirs.messages_received, theirs.messages_sent),
            (COUNT, COUNT)
        );
        assert_eq!((theirs.bytes_received, theirs.bytes_sent), (up, down));
    }
}

/// Parity: C-161.
#[tokio::test]
async fn multicast_three_clients_joining_and_leaving() {
    for setup in Setup::both() {
        let mut members: Vec<(usize, WebSocket)> = Vec::new();
        let mut received = [0; 3];
        for round in 0..6 {
            if round < 3 {
                members.push((round, setup.connect().await));
            } else {
                let (_, socket) = members.remove(0);
                close(socket).await;
            }
            setup.settle(members.len()).await;
            setup.server.broadcast(&Message::text("test"));
            for (number, socket) in &mut members {
                let message = socket.recv().await.unwrap().unwrap();
                received[*number] += message.payload().len();
            }
        }
        assert_eq!(received, [12, 12, 12]);
        assert_eq!(setup.server.traffic().total.messages_sent * 4, 36);
    }
}

/// A client and what it still has to be sent by others.
struct Member {
    socket: WebSocket,
    published: Vec<u32>,
}

impl Member {
    /// Receives all that was published since the last time, and then, if there is one, the echo.
    async fn expect(&mut self, echo: Option<&str>) {
        let mut echoed = echo.is_none();
        let mut published = std::mem::take(&mut self.published).into_iter().peekable();
        while !echoed || published.peek().is_some() {
            let message = self.socket.recv().await.unwrap().expect("open");
            let text = message.as_text().unwrap();
            if echo == Some(text) && !echoed {
                echoed = true;
            } else {
                let next = published.next().expect("nothing else was published");
                assert_eq!(text, format!("all {next}"));
            }
        }
    }
}

/// Numbers that are the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

async fn random_operations(setup: &Setup, seed: u64, operations: usize) {
    let mut random = Random(seed);
    let mut members: Vec<Member> = Vec::new();
    for number in 0..operations {
        match random.below(100) {
            0..20 if members.len() < 20 => {
                let socket = setup.connect().await;
                members.push(Member {
                    socket,
                    published: Vec::new(),
                });
                setup.settle(members.len()).await;
            }
            20..30 if !members.is_empty() => {
                let index = random.below(members.len());
                let mut member = members.swap_remove(index);
                member.expect(None).await;
                close(member.socket).await;
                setup.settle(members.len()).await;
            }
            30..40 if !members.is_empty() => {
                // Without a word, and back.
                let index = random.below(members.len());
                drop(members.swap_remove(index));
                setup.settle(members.len()).await;
                let socket = setup.connect().await;
                members.push(Member {
                    socket,
                    published: Vec::new(),
                });
                setup.settle(members.len()).await;
            }
            40..60 => {
                let published = u32::try_from(number).unwrap();
                setup
                    .server
                    .everyone()
                    .publish_text(&format!("all {published}"));
                for member in &mut members {
                    member.published.push(published);
                }
            }
            60..98 if !members.is_empty() => {
                let index = random.below(members.len());
                let text = format!("echo {number} {}", "x".repeat(random.below(3000)));
                members[index].socket.send(text.as_str()).await.unwrap();
                members[index].expect(Some(&text)).await;
            }
            98..100 => {
                setup.server.close_all(CloseCode::GOING_AWAY, "all");
                for mut member in members.drain(..) {
                    while member.socket.recv().await.unwrap().is_some() {}
                    let frame = member.socket.close_frame().unwrap();
                    assert_eq!(frame.code, CloseCode::GOING_AWAY);
                }
                setup.settle(0).await;
            }
            _ => {} // nobody there
        }
    }
    for mut member in members {
        member.expect(None).await;
        close(member.socket).await;
    }
    setup.settle(0).await;
}

/// Parity: C-161.
#[tokio::test]
async fn connections_survive_random_operations() {
    for (setup, operations) in Setup::both().into_iter().zip([3000, 1000]) {
        for seed in [0x5eed, 0xfeed_beef] {
            println!("seed {seed:#x}"); // told when it fails
            random_operations(&setup, seed, operations).await;
        }
        assert!(setup.server.drain(Duration::from_secs(30)).await);
    }
}

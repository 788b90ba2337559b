//! A new process takes the place of a server: nobody is refused, nothing accepted is lost.
//!
//! Kinds of clients: who sends over WebSocket and over REST, who reads, who is away, who connects again and again. Kinds
//! of successors: a good one, one after the other, one that SIGUSR2 starts, one that cannot open the store, a gateway, one
//! that dies while it is given the sockets. Kinds of listeners: ports that were picked, a Unix socket, several.

use std::{
    fs,
    io::Write as _,
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tidewire::ws::CloseCode;
use tokio::task::JoinSet;

use crate::{
    ledger::{Ledger, Reading, Sent},
    peer::{Peer, message},
    program::{end, signal, tidewire},
    rest::Rest,
    run, run_within,
    server::{Home, Server},
};

const WRITERS: [u64; 2] = [1, 2];
const REST_WRITER: u64 = 3;
const ONLINE: [u64; 2] = [11, 12];
const OFFLINE: u64 = 21;

fn home(more: &str) -> Home {
    Home::new(&format!(
        "[server]\nhandover = \"handover.sock\"\nhandover_per_second = 100\n{more}\n[chat]\nsend_back = true\n"
    ))
}

/// Messages that one task has written and read.
#[derive(Default)]
struct Share {
    sent: Vec<Sent>,
    readings: Vec<Reading>,
}

struct Clients {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Share>,
}

impl Clients {
    fn start(server: &Server) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let mut tasks = JoinSet::new();
        let (ws, rest) = (server.url("messaging"), server.url("rest"));
        for sender in WRITERS {
            tasks.spawn(write(ws.to_owned(), sender, Arc::clone(&stop)));
        }
        tasks.spawn(write_rest(rest.to_owned(), Arc::clone(&stop)));
        for user in ONLINE {
            tasks.spawn(read(ws.to_owned(), user, Arc::clone(&stop)));
        }
        Self { stop, tasks }
    }

    async fn end(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        let mut ledger = Ledger::default();
        for share in self.tasks.join_all().await {
            ledger.sent.extend(share.sent);
            ledger.readings.extend(share.readings);
        }
        ledger
    }
}

/// The server is there all the time: whoever comes may have to wait, and gets in.
async fn connect(url: &str, user: u64) -> Peer {
    let connected = Peer::connect_to(url, user).await;
    connected.expect("nobody is refused")
}

/// One message after the other, each answered by its copy.
async fn write(url: String, sender: u64, stop: Arc<AtomicBool>) -> Share {
    let mut share = Share::default();
    while !stop.load(Ordering::Relaxed) {
        let mut peer = connect(&url, sender).await;
        loop {
            let text = next(&mut share, sender);
            if peer.socket.send(text).await.is_err() {
                break;
            }
            match peer.next().await.expect("a proper end") {
                Some(copy) => assert_eq!(copy.sender, sender),
                None => break,
            }
            share.sent.last_mut().expect("one").accepted = true;
            if stop.load(Ordering::Relaxed) {
                return share;
            }
        }
        let frame = peer.socket.close_frame().expect("closed in good form");
        assert_eq!(frame.code, CloseCode::SERVICE_RESTART);
        assert_eq!(frame.reason.as_str(), "the server restarts; reconnect");
    }
    share
}

fn next(share: &mut Share, sender: u64) -> String {
    let number = share.sent.len() as u64;
    let recipients = vec![ONLINE[0], ONLINE[1], OFFLINE];
    let text = message(sender, &recipients, &format!("{number} x"));
    share.sent.push(Sent {
        sender,
        number,
        recipients,
        accepted: false,
    });
    text
}

async fn write_rest(url: String, stop: Arc<AtomicBool>) -> Share {
    let mut share = Share::default();
    while !stop.load(Ordering::Relaxed) {
        let mut rest = Rest::connect(&url).await.expect("nobody is refused");
        while !stop.load(Ordering::Relaxed) {
            let body = next(&mut share, REST_WRITER);
            // A kept connection may end between two requests.
            let Ok(answer) = rest.send_message(&body).await else {
                break;
            };
            assert_eq!(answer.status, 202, "{answer:?}");
            share.sent.last_mut().expect("one").accepted = true;
        }
    }
    share
}

/// Reads until the connection ends, and comes back.
async fn read(url: String, user: u64, stop: Arc<AtomicBool>) -> Share {
    let mut share = Share::default();
    while !stop.load(Ordering::Relaxed) {
        let mut peer = connect(&url, user).await;
        let mut envelopes = Vec::new();
        while let Some(envelope) = peer.next().await.expect("a proper end") {
            envelopes.push(envelope);
        }
        share.readings.push(Reading { user, envelopes });
    }
    share
}

#[test]
fn nobody_is_refused_and_nothing_accepted_is_lost_while_new_processes_take_over() {
    run_within(std::time::Duration::from_mins(3), async {
        let home = home("");
        let mut old = home.start().await;
        let clients = Clients::start(&old);
        for _ in 0..3 {
            let mut rest = old.rest().await;
            let stats = rest.get("/stats").await.expect("an answer");
            assert_eq!(stats.status, 200);
            let new = home.start().await;
            assert_eq!(new.url("messaging"), old.url("messaging"));
            assert_eq!(old.end().await, Some(0), "{}", old.log());
            old = new;
        }
        clients.stop.store(true, Ordering::Relaxed);
        // Readers come back once more when their sockets end.
        let new = home.start().await;
        assert_eq!(old.end().await, Some(0));
        let mut ledger = clients.end().await;
        for user in ONLINE.into_iter().chain([OFFLINE]) {
            let mut peer = connect(new.url("messaging"), user).await;
            let mut rest = new.rest().await;
            let mark = rest.send_message(&message(0, &[user], "the end")).await;
            assert_eq!(mark.expect("an answer").status, 202);
            let envelopes = peer.until("the end").await;
            peer.confirm_and_close().await;
            ledger.readings.push(Reading { user, envelopes });
        }
        let summary = ledger.check();
        println!("{summary:?}");
        assert!(summary.accepted > 50, "too little to tell: {summary:?}");
        let log = new.log();
        assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
        new.stop().await;
        assert!(!home.path().join("handover.sock").exists());
    });
}

#[test]
fn a_new_process_that_cannot_open_the_store_leaves_the_old_one_serving() {
    run(async {
        let home = home("");
        let server = home.start().await;
        let mut rest = server.rest().await;
        let stored = rest.send_message(&message(1, &[7], "kept")).await;
        assert_eq!(stored.expect("an answer").status, 202);
        let file = home.path().join("file");
        fs::write(&file, "no directory").expect("writable");
        let arguments = ["serve", "--config", "tidewire.toml", "--data-dir"];
        let mut command = tidewire(home.path(), &arguments);
        command
            .arg(&file)
            .args(["--listen", "127.0.0.1:0", "--rest-listen", "127.0.0.1:0"]);
        let failed = tokio::task::spawn_blocking(move || end(command, ""));
        let failed = failed.await.expect("no panic");
        assert_eq!(failed.code, Some(1), "{failed:?}");
        server.until_logged("serving on", 1).await;
        let mut peer = connect(server.url("messaging"), 7).await;
        let kept = peer.next().await.expect("open").expect("a message");
        assert_eq!(kept.text, "kept");
        // And it can be taken over from again.
        let new = home.start().await;
        let mut server = server;
        assert_eq!(server.end().await, Some(0));
        drop(peer);
        new.stop().await;
    });
}

#[test]
fn a_stranger_at_the_handover_socket_and_one_that_dies_change_nothing() {
    run(async {
        let home = home("");
        let server = home.start().await;
        let mut peer = connect(server.url("messaging"), 7).await;
        let path = home.path().join("handover.sock");
        let said: [(&[u8], usize); 3] = [
            (b"", 1),
            (b"{\"hello\":{\"version\":1}}\n", 2),
            (b"{\"hello\":{\"version\":1,\"program\":\"server\"}}\n", 3),
        ];
        for (said, times) in said {
            let mut stranger = UnixStream::connect(&path).expect("it waits");
            stranger.write_all(said).expect("open");
            drop(stranger);
            server.until_logged("not handed over", times).await;
        }
        let echo = message(7, &[7], "still here");
        peer.socket.send(echo).await.expect("open");
        let copy = peer.next().await.expect("open").expect("a message");
        assert_eq!(copy.text, "still here");
        server.stop().await;
    });
}

#[test]
fn a_signal_starts_the_new_process_and_a_unix_socket_stays_for_it() {
    run(async {
        let home = home(
            "[[server.listeners]]\naddress = \"unix:chat.sock\"\n[[server.listeners]]\naddress = \"127.0.0.1:0\"",
        );
        let mut server = home.start().await;
        let mut peer = connect(server.url("messaging"), 7).await;
        server.signal("USR2");
        server
            .until_logged("listeners and the message store were taken over", 1)
            .await;
        let log = server.log();
        let (_, pid) = log
            .split_once("a new process was started pid=")
            .expect("logged");
        let digits: String = pid.chars().take_while(char::is_ascii_digit).collect();
        let new: u32 = digits.parse().expect("a number");
        assert!(peer.next().await.expect("a proper end").is_none());
        assert_eq!(server.end().await, Some(0), "{}", server.log());
        assert!(home.path().join("chat.sock").exists());
        let mut again = connect(server.url("messaging"), 7).await;
        let echo = message(7, &[7], "here again");
        again.socket.send(echo).await.expect("open");
        assert!(again.next().await.expect("open").is_some());
        drop(again);
        signal("TERM", new);
        while home.path().join("handover.sock").exists() || home.path().join("chat.sock").exists() {
            tokio::task::yield_now().await;
        }
    });
}

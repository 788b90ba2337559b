//! SIGKILL at any instant: no event of what was answered "accepted" is lost, and every session that was told to begin is told
//! to have ended.
//!
//! Writers send through REST as fast as they are answered while sessions come and go; a backend in this process takes the
//! events and keeps a ledger. The server is killed after a random number of answers, and started again on what is on
//! disk.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    peer::{Peer, message},
    random::Random,
    run_within,
    server::{Home, Server},
};

const LIVES: u64 = 20;
const WRITERS: [u64; 3] = [1, 2, 3];

/// The events that the backend has taken.
#[derive(Default)]
struct Ledger {
    texts: HashSet<String>,
    /// By id, so that one that comes again counts once.
    began: HashSet<String>,
    ended: HashSet<String>,
    /// By user: the numbers seen, in the order in which they were first seen.
    numbers: BTreeMap<String, Vec<u64>>,
}

#[test]
fn no_event_is_lost_when_the_server_is_killed() {
    run_within(Duration::from_mins(5), async {
        let (url, ledger, mut news) = backend().await;
        let home = Home::new(&format!(
            "[mailbox]\nuser_messages_max = 1000000\n[[targets]]\nname = \"backend\"\nretry_interval = \"5ms\"\nretry_interval_max = \"20ms\"\n\
             kinds = [\"message\", \"connected\", \"disconnected\"]\nparallel = 3\nbatch_max = 5\n\
             [targets.postback]\nurl = \"{url}\"\n"
        ));
        let mut random = Random::printed();
        let mut accepted = HashSet::new();
        for life in 0..LIVES {
            let server = home.start().await;
            let peers = [
                Peer::connect(&server, 50 + life).await,
                Peer::connect(&server, 90).await,
            ];
            accepted.extend(write(&server, life, 1 + random.below(40)).await);
            server.kill().await;
            drop(peers);
        }
        let server = home.start().await;
        let is_done = |ledger: &Ledger| {
            accepted.iter().all(|text| ledger.texts.contains(text))
                && ledger
                    .began
                    .iter()
                    .all(|session| ledger.ended.contains(session))
        };
        // With the guard of the whole test.
        while !is_done(&ledger.lock().expect("no panic")) {
            news.changed().await.expect("the backend lives");
        }
        let ledger = ledger.lock().expect("no panic");
        println!(
            "{} accepted, {} sessions",
            accepted.len(),
            ledger.began.len()
        );
        assert!(accepted.len() > 40, "too few to tell");
        assert!(ledger.began.len() as u64 > LIVES, "too few to tell");
        for (user, numbers) in &ledger.numbers {
            let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
            assert_eq!(
                numbers, &expected,
                "in order and without a gap: user {user}"
            );
        }
        drop(server);
    });
}

/// Sends from several users at once until so many are answered; returns what was accepted.
async fn write(server: &Server, life: u64, count: u64) -> HashSet<String> {
    let mut writers = Vec::new();
    for writer in WRITERS {
        let mut rest = server.rest().await;
        writers.push(tokio::spawn(async move {
            let mut accepted = HashSet::new();
            for number in 0..count {
                let text = format!("{life}/{writer}/{number}");
                let answer = rest.send_message(&message(writer, &[90], &text)).await;
                assert_eq!(answer.expect("an answer").status, 202);
                accepted.insert(text);
            }
            accepted
        }));
    }
    let mut accepted = HashSet::new();
    for writer in writers {
        accepted.extend(writer.await.expect("no panic"));
    }
    accepted
}

/// A backend that takes every event.
async fn backend() -> (String, Arc<Mutex<Ledger>>, watch::Receiver<u64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let ledger = Arc::<Mutex<Ledger>>::default();
    let (told, news) = watch::channel(0);
    let kept = Arc::clone(&ledger);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (ledger, told) = (Arc::clone(&kept), told.clone());
            tokio::spawn(async move {
                // A server that is killed hangs up in the middle of anything.
                take(stream, &ledger, &told).await.ok();
            });
        }
    });
    (url, ledger, news)
}

async fn take(
    stream: TcpStream,
    ledger: &Mutex<Ledger>,
    told: &watch::Sender<u64>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().expect("a number");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        {
            let mut ledger = ledger.lock().expect("no panic");
            for event in body["events"].as_array().expect("a list") {
                ledger.note(event);
            }
        }
        told.send_modify(|count| *count += 1);
        stream.write_all(b"HTTP/1.1 204 x\r\n\r\n").await?;
    }
}

impl Ledger {
    fn note(&mut self, event: &Value) {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        match text(&event["kind"]).as_str() {
            "message" => {
                self.texts.insert(text(&event["message"]["text"]));
            }
            "connected" => {
                self.began.insert(text(&event["session"]));
            }
            "disconnected" => {
                self.ended.insert(text(&event["session"]));
            }
            other => panic!("an event of kind {other}"),
        }
        let number = event["sequence"].as_u64().expect("a number");
        let numbers = self.numbers.entry(text(&event["user"])).or_default();
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
}

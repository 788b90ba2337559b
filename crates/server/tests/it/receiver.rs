//! A backend that takes postbacks, keeps a ledger and misbehaves as told.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(u16),
    /// Nothing, with the connection left open.
    Silence,
    /// A redirection to itself.
    Redirect,
    /// 200 with a body that does not end.
    Endless,
    /// The connection is closed without an answer.
    Hangup,
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Arc<Shared>,
    count: watch::Receiver<usize>,
}

type Decide = Box<dyn FnMut(u64, &str) -> Answer + Send>;

struct Shared {
    /// Decides by the number of the request and its body.
    decide: Mutex<Decide>,
    requests: AtomicU64,
    /// Heads and bodies of what was answered as taken.
    taken: Mutex<Vec<(String, String)>>,
    told: watch::Sender<usize>,
}

impl Receiver {
    pub(crate) async fn start(decide: impl FnMut(u64, &str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, count) = watch::channel(0);
        let shared = Arc::new(Shared {
            decide: Mutex::new(Box::new(decide)),
            requests: AtomicU64::new(0),
            taken: Mutex::default(),
            told,
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                tokio::spawn(async move { shared.serve(stream).await });
            }
        });
        Self {
            url: format!("http://{address}/hook?a=1"),
            shared,
            count,
        }
    }

    pub(crate) fn decide(&self, decide: impl FnMut(u64, &str) -> Answer + Send + 'static) {
        *self.shared.decide.lock().unwrap() = Box::new(decide);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Waits until requests with so many events, or messages, were taken.
    pub(crate) async fn taken(&mut self, events: usize) -> Vec<(String, String)> {
        self.count.wait_for(|count| *count >= events).await.unwrap();
        self.shared.taken.lock().unwrap().clone()
    }

    /// Waits for so many events; returns all that came, in the order in which they came.
    pub(crate) async fn events(&mut self, events: usize) -> Vec<Value> {
        let taken = self.taken(events).await;
        taken.iter().flat_map(|(_, body)| events_of(body)).collect()
    }
}

pub(crate) fn events_of(body: &str) -> Vec<Value> {
    let body: Value = serde_json::from_str(body).unwrap();
    match body.get("events") {
        Some(events) => events.as_array().unwrap().clone(),
        None => vec![body],
    }
}

impl Shared {
    async fn serve(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                match stream.read_line(&mut head).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
            let length = head
                .lines()
                .find_map(|line| {
                    let (name, value) = line.split_once(": ")?;
                    name.eq_ignore_ascii_case("content-length")
                        .then(|| value.parse().unwrap())
                })
                .unwrap_or(0);
            let mut body = vec![0; length];
            if stream.read_exact(&mut body).await.is_err() {
                return;
            }
            let body = String::from_utf8(body).unwrap();
            let number = self.requests.fetch_add(1, Ordering::Relaxed);
            let answer = (self.decide.lock().unwrap())(number, &body);
            let text = match answer {
                Answer::Silence => std::future::pending().await,
                Answer::Hangup => return,
                Answer::Status(status) => {
                    format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n")
                }
                Answer::Redirect => {
                    "HTTP/1.1 302 x\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n".to_owned()
                }
                Answer::Endless => {
                    "HTTP/1.1 200 x\r\nContent-Length: 1000000000000\r\n\r\n".to_owned()
                }
            };
            if matches!(answer, Answer::Status(200..=299) | Answer::Endless) {
                let events = events_of(&body).len();
                self.taken.lock().unwrap().push((head, body));
                self.told.send_modify(|count| *count += events);
            }
            if stream.write_all(text.as_bytes()).await.is_err() {
                return;
            }
            if answer == Answer::Endless {
                while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
                return;
            }
        }
    }
}

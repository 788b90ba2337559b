//! The tests that C-161 names, for http, https and HTTP/2: exact counts, random operations.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response, request::Parts};
use tidewire::{
    http::{
        self as web, BodyLimits, Client, ClientConfig, FileCache, Handler, HandlerService, Http,
        Session,
    },
    service::{Config, RunningServer, Server, Workers},
    tcp,
};

use crate::{
    tcp::{HANG, receive, soon, until},
    tls::Authority,
};

const BODY_BYTES_MAX: usize = 10_000;

/// Echoes bodies; ends the connection behind the answer of `/end`.
#[derive(Clone, Default)]
struct Echo {
    open: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
}

impl Handler for Echo {
    fn connected(&self, _session: &Session) {
        self.open.fetch_add(1, Ordering::SeqCst);
        self.opened.fetch_add(1, Ordering::SeqCst);
    }

    fn received_head(
        &self,
        _session: &Session,
        _head: &Parts,
    ) -> Result<BodyLimits, Response<Bytes>> {
        Ok(BodyLimits::default().bytes_max(BODY_BYTES_MAX))
    }

    async fn received(&self, session: &Session, request: Request<Bytes>) -> Response<Bytes> {
        self.received.fetch_add(1, Ordering::SeqCst);
        if request.uri().path() == "/end" {
            session.disconnect();
        }
        Response::new(request.into_body())
    }

    fn disconnected(&self, _session: &Session) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Setup {
    name: &'static str,
    echo: Echo,
    http: Http<HandlerService<Echo>>,
    server: RunningServer<Http<HandlerService<Echo>>>,
    authority: Option<Authority>,
    client: ClientConfig,
}

impl Setup {
    fn new(name: &'static str) -> Self {
        let echo = Echo::default();
        let files = FileCache::default();
        let file = Response::new(Bytes::from(vec![b'f'; 5000]));
        files.insert("/file", file, None).unwrap();
        let http = Http::handler(echo.clone(), web::Config::default().files(files));
        let mut config = Config::new("127.0.0.1:0".parse().unwrap()).workers(Workers::Pool);
        let mut client = ClientConfig::default();
        #[cfg(feature = "http2")]
        if name == "http/2" {
            client = client.http2_prior_knowledge(true);
        }
        let authority = (name == "https").then(Authority::new);
        if let Some(authority) = &authority {
            config = config.tls(authority.server());
            client = client.tls(authority.client());
        }
        let server = Server::new(config, http.clone()).start().unwrap();
        Self {
            name,
            echo,
            http,
            server,
            authority,
            client,
        }
    }

    /// A connection for bytes that are written by hand.
    async fn raw(&self) -> tcp::Connection {
        let port = self.server.local_addr().port();
        let client = tcp::Client::new(format!("localhost:{port}"));
        let client = match &self.authority {
            Some(authority) => client.tls(authority.client()),
            None => client,
        };
        soon(client.connect()).await.unwrap()
    }

    fn client(&self) -> Client {
        let scheme = if self.authority.is_some() {
            "https"
        } else {
            "http"
        };
        let base = format!("{scheme}://localhost:{}", self.server.local_addr().port());
        Client::new(self.client.clone()).base(&base).unwrap()
    }

    async fn all_gone(&self) {
        until(|| self.echo.open.load(Ordering::SeqCst) == 0).await;
    }
}

/// Parity: C-161.
#[tokio::test]
async fn an_echo_is_exact_to_the_byte() {
    const DATE: usize = "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n".len();
    for setup in ["http", "https"].map(Setup::new) {
        let mut connection = setup.raw().await;
        let (mut up, mut down) = (0, 0);
        for (number, len) in [0, 1, 4, 1000, 9999, 10_000].into_iter().enumerate() {
            let body = vec![b'e'; len];
            let mut request =
                format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n")
                    .into_bytes();
            request.extend_from_slice(&body);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n").len() + DATE;
            connection.send(request.clone()).await.unwrap();
            let answer = receive(&mut connection, head + len).await;
            assert!(answer.ends_with(&body), "{}: {answer:?}", setup.name);
            up += request.len() as u64;
            down += answer.len() as u64;
            let stats = setup.http.stats();
            assert_eq!(stats.requests, number as u64 + 1, "{}", setup.name);
        }
        connection.finish_sending().await.unwrap();
        assert_eq!(soon(connection.recv()).await.unwrap(), None, "no byte more");
        let ours = (connection.bytes_sent(), connection.bytes_received());
        assert_eq!(ours, (up, down), "{}", setup.name);
        drop(connection);
        setup.all_gone().await;
        let stats = setup.http.stats();
        let theirs = (stats.bytes_received, stats.bytes_sent);
        assert_eq!(theirs, (up, down), "{}", setup.name);
        assert!(soon(setup.server.drain(HANG)).await);
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
    const CLIENTS_MAX: usize = 10;
    let mut random = Random(seed);
    let mut clients = vec![setup.client()];
    let mut raw: Vec<tcp::Connection> = Vec::new();
    for number in 0..operations {
        let client = clients[random.below(clients.len())].clone();
        match random.below(100) {
            0..10 if clients.len() < CLIENTS_MAX => clients.push(setup.client()),
            10..15 if clients.len() > 1 => {
                let at = random.below(clients.len());
                drop(clients.swap_remove(at));
            }
            15..20 => {
                // Half a request, and nobody who ends it for a while.
                let mut connection = setup.raw().await;
                let begun = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nbegun";
                connection.send(begun).await.ok();
                raw.push(connection);
            }
            20..24 if !raw.is_empty() => {
                // Its end, or its loss.
                let mut connection = raw.swap_remove(random.below(raw.len()));
                if random.below(2) == 0 {
                    connection.send(" and").await.ok();
                    let answer = soon(connection.recv()).await;
                    if setup.name != "http/2" {
                        assert!(answer.unwrap().is_some(), "{number}");
                    }
                }
            }
            24..30 => {
                // Several at once.
                let bodies = [1, 2, 3].map(|len| "x".repeat(len * 100));
                let posts = bodies.iter().map(|body| client.post("/echo", body.clone()));
                let answers = soon(futures_util::future::join_all(posts)).await;
                for (body, answer) in bodies.iter().zip(answers) {
                    assert_eq!(answer.unwrap().body(), body, "{number}");
                }
            }
            30..40 => {
                // Given up somewhere.
                let body = vec![b'g'; random.below(BODY_BYTES_MAX)];
                let mut given_up = Box::pin(client.post("/echo", body));
                for _ in 0..random.below(8) {
                    if (&mut given_up).now_or_never().is_some() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            40..50 => {
                let file = soon(client.get("/file")).await.unwrap();
                assert_eq!((file.status().as_u16(), file.body().len()), (200, 5000));
            }
            50..55 => {
                let body = vec![b'l'; BODY_BYTES_MAX + 1];
                let refused = soon(client.post("/echo", body)).await.unwrap();
                assert_eq!(refused.status(), 413, "{number}");
            }
            55..60 => {
                let answer = soon(client.post("/end", "last")).await.unwrap();
                assert_eq!(answer.body(), "last", "{number}");
            }
            _ => {
                let body = format!("{number} {}", "x".repeat(random.below(3000)));
                let answer = soon(client.post("/echo", body.clone())).await.unwrap();
                assert_eq!(answer.body(), &body, "{number}");
            }
        }
    }
}

/// Parity: C-161.
#[tokio::test]
async fn connections_survive_random_operations() {
    let names: &[_] = if cfg!(feature = "http2") {
        &["http", "https", "http/2"]
    } else {
        &["http", "https"]
    };
    for (name, operations) in names.iter().zip([1500, 500, 1000]) {
        let setup = Setup::new(name);
        for seed in [0x5eed, 0xfeed_beef] {
            println!("{name}, seed {seed:#x}"); // told when it fails
            random_operations(&setup, seed, operations).await;
        }
        setup.all_gone().await;
        let answered = setup.echo.received.load(Ordering::SeqCst);
        let stats = setup.http.stats();
        assert!(answered <= stats.requests && stats.cached > 0, "{stats:?}");
        assert!(setup.echo.opened.load(Ordering::SeqCst) > 10, "{name}");
        assert!(soon(setup.server.drain(HANG)).await);
    }
}

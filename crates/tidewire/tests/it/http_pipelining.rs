//! Requests that a client sends before it has the answers to earlier ones.
//!
//! Their small answers leave together. Tried: one whose service takes its time behind quick ones, the last of a batch
//! that ends in half a head, one that closes, large answers among small ones, files and TRACE (answered without the
//! service) among those of the service, a client that ends its direction, a head that is refused.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tidewire::{
    http::{self as web, CacheConfig, FileCache, Http, RequestBody},
    service::{Config, RunningServer, Server, Workers},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
};
use tower::{service_fn, util::BoxCloneSyncService};

type Service = BoxCloneSyncService<Request<RequestBody>, Response<Full<Bytes>>, Infallible>;

/// More than what is held of small answers together.
const LARGE: usize = 100 << 10;

/// `/slow...` waits for a permit, `/large...` has a large answer, `/close...` ends the connection; all tell their path.
fn start(slow: Arc<Semaphore>) -> RunningServer<Http<Service>> {
    let service = BoxCloneSyncService::new(service_fn(move |request: Request<RequestBody>| {
        let slow = Arc::clone(&slow);
        async move {
            let path = request.uri().path().to_owned();
            if path.starts_with("/slow") {
                slow.acquire().await.unwrap().forget();
            }
            let mut text = format!("[{path}]");
            if path.starts_with("/large") {
                text.push_str(&".".repeat(LARGE));
            }
            let mut response = Response::builder();
            if path.starts_with("/close") {
                response = response.header("connection", "close");
            }
            Ok(response.body(Full::from(text)).unwrap())
        }
    }));
    let files = FileCache::new(CacheConfig::default());
    let file = Response::new(Bytes::from("[/file]"));
    files.insert("/file", file, None).unwrap();
    let mut config = Config::new("127.0.0.1:0".parse().unwrap());
    config.workers = Workers::Pool;
    let mut http = web::Config::default();
    http.files = Some(files);
    http.trace = true;
    Server::new(config, Http::new(service, http))
        .start()
        .unwrap()
}

/// For tests that ask for nothing slow.
fn never() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(0))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

struct Client {
    stream: TcpStream,
    text: String,
}

impl Client {
    async fn connect(server: &RunningServer<Http<Service>>) -> Self {
        let stream = TcpStream::connect(server.local_addr()).await.unwrap();
        Self {
            stream,
            text: String::new(),
        }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads until this has come, and returns the paths of all answers in order.
    async fn paths_until(&mut self, end: &str) -> Vec<String> {
        while !self.text.contains(end) {
            let mut chunk = vec![0; 16 << 10];
            let count = self.stream.read(&mut chunk).await.unwrap();
            assert_ne!(count, 0, "{end} is missing in {}", self.text);
            self.text
                .push_str(std::str::from_utf8(&chunk[..count]).unwrap());
        }
        let inside = self.text.split(['[', ']']).skip(1).step_by(2);
        inside.map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn answers_do_not_wait_for_a_request_that_takes_its_time() {
    let slow = Arc::new(Semaphore::new(0));
    let server = start(Arc::clone(&slow));
    let mut client = Client::connect(&server).await;
    for round in 0..3 {
        let (one, two) = (format!("/one{round}"), format!("/two{round}"));
        let wait = format!("/slow{round}");
        let after = format!("/after{round}");
        client
            .send([&one, &two, &wait, &after].map(|path| get(path)).concat())
            .await;
        client.paths_until(&format!("[{two}]")).await;
        assert!(!client.text.contains(&wait));
        slow.add_permits(1);
        let paths = client.paths_until(&format!("[{after}]")).await;
        assert_eq!(paths[round * 4..], [one, two, wait, after]);
    }
}

#[tokio::test]
async fn answers_do_not_wait_for_the_rest_of_a_head() {
    let server = start(never());
    let mut client = Client::connect(&server).await;
    for path in ["/service", "/file"] {
        let next = get("/next");
        let (half, rest) = next.split_at(10);
        client.text.clear();
        client.send(get(path) + half).await;
        client.paths_until(&format!("[{path}]")).await;
        client.send(rest).await;
        client.paths_until("[/next]").await;
    }
}

#[tokio::test]
async fn all_kinds_of_answers_come_in_the_order_of_their_requests() {
    let server = start(never());
    let client = Client::connect(&server).await;
    let kinds = ["/a", "/file", "/b", "/large", "/c", "/file", "/file", "/d"];
    let asked: Vec<_> = kinds
        .iter()
        .cycle()
        .take(400)
        .map(ToString::to_string)
        .collect();
    let mut requests = asked.iter().map(|path| get(path)).collect::<String>();
    requests.push_str("TRACE /[end] HTTP/1.1\r\nHost: a\r\n\r\n");
    let (mut reading, mut writing) = client.stream.into_split();
    let sent = tokio::spawn(async move {
        writing.write_all(requests.as_bytes()).await.unwrap();
        writing
    });
    let mut text = Vec::new();
    while !text.ends_with(b"TRACE /[end] HTTP/1.1\r\nHost: a\r\n\r\n") {
        assert_ne!(reading.read_buf(&mut text).await.unwrap(), 0);
    }
    drop(sent.await.unwrap());
    let text = String::from_utf8(text).unwrap();
    let paths: Vec<_> = text.split(['[', ']']).skip(1).step_by(2).collect();
    assert_eq!(paths[..asked.len()], asked);
}

#[tokio::test]
async fn an_end_comes_behind_the_answers_before_it() {
    let server = start(never());
    for (last, expected) in [
        (get("/close") + &get("/never"), "[/close]"),
        ("bad head\r\n\r\n".to_owned(), "HTTP/1.1 400 "),
    ] {
        let mut client = Client::connect(&server).await;
        client.send([get("/a"), get("/file"), last].concat()).await;
        let mut text = String::new();
        client.stream.read_to_string(&mut text).await.unwrap();
        let order = ["[/a]", "[/file]", expected].map(|part| text.find(part).expect(&text));
        assert!(order.is_sorted(), "{text}");
        assert!(!text.contains("/never"), "{text}");
    }
    let mut client = Client::connect(&server).await;
    client
        .send([get("/a"), get("/file"), get("/b")].concat())
        .await;
    client.stream.shutdown().await.unwrap();
    let mut text = String::new();
    client.stream.read_to_string(&mut text).await.unwrap();
    for path in ["[/a]", "[/file]", "[/b]"] {
        assert!(text.contains(path), "{text}");
    }
}

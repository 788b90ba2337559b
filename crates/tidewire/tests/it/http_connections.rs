//! Connections of HTTP/1 beyond their first request, and bodies that nobody wants.
//!
//! Of the kind "the answer reaches the client" these are tried: a client that reads only when it has sent all (one that
//! sends slowly: beside `linger`), one that asks before it sends, one that announces more than any file has, a chunked body, a body that
//! is announced and never comes, a client that ends its direction behind its request. Of "limits hold for every
//! request": each behind a request that was fine, with and without a body, and in one piece with it. Of "idle": nothing
//! at all, a part of a head, a byte now and then.

use std::{convert::Infallible, time::Duration};

use http::{Request, Response};
use http_body_util::Full;
use tidewire::{
    http::{self as web, BodyError, BodyLimits, Http, RequestBody, read_body},
    service::{Config, RunningServer, Server, Workers},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tower::{service_fn, util::BoxCloneSyncService};

/// Long enough for anything that happens at all.
const HANG: Duration = Duration::from_mins(10);

type Service = BoxCloneSyncService<Request<RequestBody>, Response<Full<bytes::Bytes>>, Infallible>;

/// `/read` tells the length of the body, or which status it gets; anything else leaves the body alone.
fn service() -> Service {
    BoxCloneSyncService::new(service_fn(|request: Request<RequestBody>| async move {
        let path = request.uri().path().to_owned();
        if path != "/read" {
            return Ok(Response::new(Full::from(format!("[{path}]"))));
        }
        let limits = BodyLimits::default().bytes_max(1 << 20);
        let (status, text) = match read_body(request.into_body(), limits).await {
            Ok(body) => (200, format!("[{}]", body.len())),
            Err(BodyError::TooLarge { .. }) => (413, "[too large]".to_owned()),
            Err(BodyError::TooSlow { .. }) => (408, "[too slow]".to_owned()),
            Err(_) => (400, "[broken]".to_owned()),
        };
        let response = Response::builder().status(status);
        Ok(response.body(Full::from(text)).unwrap())
    }))
}

fn start() -> RunningServer<Http<Service>> {
    let mut config = Config::new("127.0.0.1:0".parse().unwrap());
    config.workers = Workers::Pool;
    let mut http = web::Config::default();
    http.head.bytes_max = 4 << 10;
    Server::new(config, Http::new(service(), http))
        .start()
        .unwrap()
}

struct Client(TcpStream);

impl Client {
    async fn connect(server: &RunningServer<Http<Service>>) -> Self {
        Self(TcpStream::connect(server.local_addr()).await.unwrap())
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads until `end`, which every body here closes with.
    async fn until(&mut self, end: &str) -> String {
        let mut answer = Vec::new();
        while !answer.ends_with(end.as_bytes()) {
            let read = timeout(HANG, self.0.read_buf(&mut answer)).await;
            let text = String::from_utf8_lossy(&answer);
            assert_ne!(read.expect("an answer").unwrap(), 0, "{text}");
        }
        String::from_utf8(answer).unwrap()
    }

    /// Reads until the end of the connection.
    async fn rest(&mut self) -> String {
        let mut answer = String::new();
        let read = timeout(HANG, self.0.read_to_string(&mut answer)).await;
        read.expect("the connection ends").unwrap();
        answer
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn post(path: &str, len: u64) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n")
}

const CHUNKED: &str = "POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_longer_than_proxies_keep_theirs() {
    let server = start();
    let mut client = Client::connect(&server).await;
    for _ in 0..3 {
        client.send(get("/one")).await;
        client.until("[/one]").await;
        sleep(Duration::from_secs(70)).await;
    }
    client.send(get("/one")).await;
    client.until("[/one]").await;
    let idle = Instant::now();
    assert_eq!(client.rest().await, "");
    assert_eq!(idle.elapsed().as_secs(), 75);
}

#[tokio::test(start_paused = true)]
async fn a_later_head_that_drips_is_answered_with_408() {
    let server = start();
    for piece in ["G", "\r\nGET / HTTP/1.1\r\nX: "] {
        let mut client = Client::connect(&server).await;
        client.send(get("/one")).await;
        client.until("[/one]").await;
        client.send(piece).await;
        let begun = Instant::now();
        for _ in 0..9 {
            sleep(Duration::from_secs(1)).await;
            client.send("E").await;
        }
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert_eq!(begun.elapsed().as_secs(), 10);
    }
}

#[tokio::test]
async fn every_request_of_a_connection_is_held_to_the_limits() {
    let server = start();
    let large = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(5000)
    );
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: y\r\n".repeat(100)
    );
    for (bad, status) in [
        (large.as_str(), 431),
        (&many, 431),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
            400,
        ),
        ("SSH-2.0-x\r\n", 400),
        ("\x16\x03\x01", 400),
    ] {
        for (good, answered) in [
            (get("/one"), "[/one]"),
            (post("/read", 3) + "abc", "[3]"),
            (post("/one", 3) + "abc", "[/one]"),
            (format!("{CHUNKED}3\r\nabc\r\n0\r\nA: b\r\n\r\n"), "[3]"),
        ] {
            let mut client = Client::connect(&server).await;
            client.send(good.clone() + bad).await;
            let together = client.rest().await;
            let mut client = Client::connect(&server).await;
            client.send(good).await;
            let first = client.until(answered).await;
            client.send(bad).await;
            let apart = first + &client.rest().await;
            for answers in [together, apart] {
                assert!(answers.starts_with("HTTP/1.1 200 "), "{bad:?}: {answers}");
                let (_, second) = answers.split_once(answered).unwrap();
                let expected = format!("HTTP/1.1 {status} ");
                assert!(second.starts_with(&expected), "{bad:?}: {answers}");
            }
        }
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let many: String = (0..100)
        .map(|number| match number % 3 {
            0 => get(&format!("/{number}")),
            1 => post(&format!("/{number}"), 10) + "0123456789",
            _ => format!("\r\nGET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"),
        })
        .collect();
    client.send(many).await;
    let answers = client.until("[/99]").await;
    let order: Vec<_> = answers.split(['[', ']']).skip(1).step_by(2).collect();
    let expected: Vec<_> = (0..100).map(|number| format!("/{number}")).collect();
    assert_eq!(order, expected);
}

#[tokio::test]
async fn a_small_body_that_nobody_wants_costs_no_connection() {
    let server = start();
    let mut client = Client::connect(&server).await;
    for _ in 0..3 {
        // In segments of their own.
        client.send(post("/one", 5)).await;
        client.send("hello").await;
        let answer = client.until("[/one]").await;
        assert!(!answer.contains("close"), "{answer}");
        let chunked = CHUNKED.replace("/read", "/one");
        client.send(chunked).await;
        client.send("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").await;
        let answer = client.until("[/one]").await;
        assert!(!answer.contains("close"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_announced_and_never_comes_does_not_hold_the_answer_back() {
    let server = start();
    let mut client = Client::connect(&server).await;
    client.send(post("/one", 5)).await;
    let begun = Instant::now();
    let answer = client.until("[/one]").await;
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_reads_only_when_it_has_sent_all() {
    let server = start();
    // More than the systems of both sides hold for a connection.
    let body = vec![b'x'; 16 << 20];
    let chunk = [
        format!("{:x}\r\n", body.len()).as_bytes(),
        &body,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    for (head, body, expected) in [
        (post("/read", 16 << 20), &body, "HTTP/1.1 413 "),
        (CHUNKED.to_owned(), &chunk, "HTTP/1.1 413 "),
        (post("/one", 16 << 20), &body, "HTTP/1.1 200 "),
        (post("/\u{7f}", 16 << 20), &body, "HTTP/1.1 400 "),
    ] {
        let mut client = Client::connect(&server).await;
        client.send(head).await;
        client.send(body).await;
        let answer = client.rest().await;
        assert!(answer.starts_with(expected), "{answer}");
        assert!(
            answer
                .to_ascii_lowercase()
                .contains("connection: close\r\n"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn what_is_announced_too_large_is_refused_before_it_is_sent() {
    let server = start();
    for len in [
        "1048577",
        "1000000000000000",
        "9223372036854775807",
        "99999999999999999999999",
    ] {
        for expect in ["", "Expect: 100-continue\r\n"] {
            let mut client = Client::connect(&server).await;
            let head =
                format!("POST /read HTTP/1.1\r\nHost: a\r\n{expect}Content-Length: {len}\r\n\r\n");
            client.send(head).await;
            let answer = client.rest().await;
            assert!(answer.starts_with("HTTP/1.1 413 "), "{len}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_send_what_is_wanted() {
    let server = start();
    let mut client = Client::connect(&server).await;
    let head = post("/read", 5).replace("Host", "Expect: 100-continue\r\nHost");
    client.send(head).await;
    client.until("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send("hello").await;
    client.until("[5]").await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_answered_with_408_and_one_that_is_slow_is_read() {
    let server = start();
    let mut slow = Client::connect(&server).await;
    slow.send(post("/read", 100_000)).await;
    for _ in 0..50 {
        slow.send([b'x'; 2000]).await;
        sleep(Duration::from_secs(1)).await;
    }
    slow.until("[100000]").await;
    let mut dripping = Client::connect(&server).await;
    dripping.send(post("/read", 100_000)).await;
    let begun = Instant::now();
    for _ in 0..29 {
        dripping.send("x").await;
        sleep(Duration::from_secs(1)).await;
    }
    let answer = dripping.until("[too slow]").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(begun.elapsed().as_secs(), 30);
}

#[tokio::test]
async fn a_client_that_ends_its_direction_behind_its_request_gets_the_answer() {
    let server = start();
    for (request, expected) in [
        (get("/one"), "[/one]"),
        (post("/read", 3) + "abc", "[3]"),
        ("GET /old HTTP/1.0\r\n\r\n".to_owned(), "[/old]"),
        (post("/read", 4) + "abc", "[broken]"),
        (CHUNKED.to_owned() + "3\r\nabc", "[broken]"),
    ] {
        let mut client = Client::connect(&server).await;
        client.send(request).await;
        client.0.shutdown().await.unwrap();
        let answer = client.rest().await;
        assert!(answer.ends_with(expected), "{answer}");
    }
}

#[tokio::test]
async fn a_malformed_chunk_is_the_end_of_its_connection() {
    let server = start();
    let mut client = Client::connect(&server).await;
    client
        .send(format!("{CHUNKED}3\nabc\r\n0\r\n\r\n{}", get("/smuggled")))
        .await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(!answer.contains("smuggled"), "{answer}");
}

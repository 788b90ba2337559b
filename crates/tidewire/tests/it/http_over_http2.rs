//! Listeners of HTTP alone, over HTTP/2: who is asked, and clients that take nothing.

use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{Request, Response};
use tidewire::{
    http::{self as web, Handler, HandlerService, Http, Session},
    service::{Config, RunningServer, Server, Workers},
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

const LARGE: usize = 100_000;

/// How long a client may take nothing of an answer.
const WITHIN: Duration = Duration::from_secs(30);

/// Answers with the fields `Host` of the request, `/large` with more than a window, `/none` with nothing, and
/// `/never` not at all.
struct Application;

impl Handler for Application {
    async fn received(&self, _session: &Session, request: Request<Bytes>) -> Response<Bytes> {
        match request.uri().path() {
            "/large" => return web::get_response(vec![b'x'; LARGE], None),
            "/none" => return web::get_response("", None),
            "/never" => std::future::pending().await,
            _ => {}
        }
        let hosts = request.headers().get_all("host").iter();
        let hosts: Vec<_> = hosts.map(|host| host.to_str().unwrap()).collect();
        web::get_response(hosts.join(" "), None)
    }
}

fn start() -> RunningServer<Http<HandlerService<Application>>> {
    let config = Config::new("127.0.0.1:0".parse().unwrap()).workers(Workers::Pool);
    Server::new(config, Http::handler(Application, web::Config::default()))
        .start()
        .unwrap()
}

#[tokio::test]
async fn the_host_that_is_asked_is_the_same_as_over_http1() {
    let running = start();
    let tcp = TcpStream::connect(running.local_addr()).await.unwrap();
    let (requests, connection) = h2::client::handshake(tcp).await.unwrap();
    let connection = tokio::spawn(connection);
    for (target, hosts, status, seen) in [
        ("http://a:8/", &[][..], 200, "a:8"),
        ("http://[::1]:8/", &[], 200, "[::1]:8"),
        ("http://a/", &["a"], 200, "a"),
        ("http://a/", &["A"], 200, "A"),
        ("/", &["a"], 200, "a"),
        ("/", &[], 200, ""),
        ("http://a/", &["b"], 400, "expected a Host field"),
        ("http://a/", &["a:80"], 400, "expected a Host field"),
        ("http://a/", &["a", "a"], 400, "expected exactly one"),
        ("/", &["a", "b"], 400, "expected exactly one"),
        ("/", &["a/b"], 400, "expected a host"),
        ("http://u@a/", &[], 400, "expected a host"),
    ] {
        let mut request = Request::get(target);
        for host in hosts {
            request = request.header("host", *host);
        }
        let request = request.body(()).unwrap();
        let mut requests = requests.clone().ready().await.unwrap();
        let (response, _) = requests.send_request(request, true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), status, "{target} {hosts:?}");
        let mut body = response.into_body();
        let mut text = Vec::new();
        while let Some(data) = body.data().await {
            text.extend_from_slice(&data.unwrap());
        }
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with(seen), "{target} {hosts:?}: {text}");
        assert!(!seen.is_empty() || text.is_empty(), "{text}");
    }
    let stats = running.service().protocol().stats();
    assert_eq!((stats.requests, stats.refused), (12, 6));
    connection.abort();
}

/// A client whose streams have this window until it reads; it ends with its requests.
async fn connect(
    running: &RunningServer<Http<HandlerService<Application>>>,
    window: u32,
) -> SendRequest<Bytes> {
    let tcp = TcpStream::connect(running.local_addr()).await.unwrap();
    // Bytes that the system holds back would let virtual time go on without them.
    tcp.set_nodelay(true).unwrap();
    let mut rules = h2::client::Builder::new();
    let (requests, connection) = rules
        .initial_window_size(window)
        .handshake(tcp)
        .await
        .unwrap();
    tokio::spawn(connection);
    requests
}

/// Sends a request; `None` when the connection has ended.
async fn ask(requests: &SendRequest<Bytes>, path: &str) -> Option<ResponseFuture> {
    let mut requests = requests.clone().ready().await.ok()?;
    let request = Request::get(format!("http://a{path}")).body(()).unwrap();
    let (response, _) = requests.send_request(request, true).ok()?;
    Some(response)
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_ends_its_connection_whatever_else_is_asked() {
    let running = start();
    // A window of one byte lets the server buffer a whole piece.
    for window in [0, 1] {
        let requests = connect(&running, window).await;
        let never = ask(&requests, "/never").await.unwrap();
        let large = ask(&requests, "/large").await.unwrap().await.unwrap();
        let begun = Instant::now();
        while let Some(response) = ask(&requests, "/none").await
            && response.await.is_ok()
        {
            sleep(Duration::from_secs(1)).await;
            assert!(begun.elapsed() <= 3 * WITHIN, "{window}: it goes on");
        }
        assert!(begun.elapsed() >= WITHIN, "{window}");
        never.await.expect_err("the connection has ended");
        drop(large);
    }
}

#[tokio::test(start_paused = true)]
async fn slow_clients_that_take_each_answer_get_all_of_them() {
    let running = start();
    let requests = connect(&running, 16 << 10).await;
    let mut bodies = Vec::new();
    for _ in 0..3 {
        let response = ask(&requests, "/large").await.unwrap().await.unwrap();
        bodies.push((response.into_body(), 0));
    }
    while bodies.iter().any(|(_, len)| *len < LARGE) {
        sleep(Duration::from_secs(25)).await;
        for (body, len) in &mut bodies {
            let mut taken = 0;
            while taken < 16 << 10 && *len < LARGE {
                let data = body.data().await.unwrap().unwrap();
                taken += data.len();
                *len += data.len();
            }
            body.flow_control().release_capacity(taken).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_source_has_nothing_is_waited_for() {
    let running = start();
    let requests = connect(&running, 0).await;
    let never = ask(&requests, "/never").await.unwrap();
    sleep(10 * WITHIN).await;
    let answer = ask(&requests, "/none").await.unwrap().await;
    assert_eq!(answer.unwrap().status(), 200);
    drop(never);
}

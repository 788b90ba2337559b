//! Clients of an HTTP server that read their answers late or never.
//!
//! In virtual time. A client that does not read is one whose end of a socket is left alone: the answers are larger
//! than what the systems of both sides hold for a connection.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tidewire::{
    http::{self as web, FileCache, Handler, HandlerService, Http, Session},
    service::{Config, RunningServer, Server, Workers},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

/// Long after everything that happens at all.
const LATE: Duration = Duration::from_hours(1);

/// More than the systems of both sides hold for a connection.
const LARGE: usize = 32 << 20;

/// [`LARGE`] is a thousand of them.
const SMALL: usize = LARGE / 1000;

struct Application;

impl Handler for Application {
    async fn received(&self, _session: &Session, request: http::Request<Bytes>) -> Response<Bytes> {
        let body = match request.uri().path() {
            "/made" => "m".repeat(SMALL),
            path => format!("application: {path}"),
        };
        web::get_response(body, None)
    }
}

/// `/large` and `/small` are in the cache, `/made` is made by the application.
fn start() -> RunningServer<Http<HandlerService<Application>>> {
    let cache = FileCache::new(web::CacheConfig::default().reload_every(None));
    let large = Response::new(Bytes::from(vec![b'x'; LARGE]));
    cache.insert("/large", large, None).unwrap();
    let small = Response::new(Bytes::from(vec![b's'; SMALL]));
    cache.insert("/small", small, None).unwrap();
    let config = Config::new("127.0.0.1:0".parse().unwrap()).workers(Workers::Pool);
    let http = web::Config::default().files(cache);
    Server::new(config, Http::handler(Application, http))
        .start()
        .unwrap()
}

/// Asks for the large answer and reads the first bytes of it.
async fn ask(running: &RunningServer<Http<HandlerService<Application>>>) -> TcpStream {
    let mut tcp = TcpStream::connect(running.local_addr()).await.unwrap();
    let request = "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut begin = [0; 8];
    tcp.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1");
    tcp
}

/// Reads until the connection ends, in whatever way.
async fn rest(mut tcp: TcpStream) -> usize {
    let mut rest = Vec::new();
    tcp.read_to_end(&mut rest).await.ok();
    rest.len()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_a_cached_answer_is_cut() {
    let running = start();
    let tcp = ask(&running).await;
    sleep(LATE).await;
    let len = rest(tcp).await;
    assert!(len < LARGE, "the answer went on: {len}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_a_cached_answer_reach_its_end() {
    let running = start();
    let tcp = ask(&running).await;
    let (drained, len) = tokio::join!(running.drain(LATE), rest(tcp));
    assert!(drained);
    assert!(len > LARGE, "the answer was cut: {len}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_on_and_reads_no_answer_is_cut() {
    for path in ["/small", "/made"] {
        let running = start();
        let mut tcp = TcpStream::connect(running.local_addr()).await.unwrap();
        let requests = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(1500);
        tcp.write_all(requests.as_bytes()).await.unwrap();
        sleep(LATE).await;
        let len = rest(tcp).await;
        assert!(len < LARGE, "{path}: the answers went on: {len}");
    }
}

//! Listeners of HTTP alone, over HTTP/2: who is asked, and clients that take nothing.

use bytes::Bytes;
use http::{Request, Response};
use tidewire::{
    http::{self as web, Handler, HandlerService, Http, Session},
    service::{Config, RunningServer, Server, Workers},
};
use tokio::net::TcpStream;

/// Answers with the fields `Host` of the request.
struct Hosts;

impl Handler for Hosts {
    async fn received(&self, _session: &Session, request: Request<Bytes>) -> Response<Bytes> {
        let hosts = request.headers().get_all("host").iter();
        let hosts: Vec<_> = hosts.map(|host| host.to_str().unwrap()).collect();
        web::get_response(hosts.join(" "), None)
    }
}

fn start() -> RunningServer<Http<HandlerService<Hosts>>> {
    let config = Config::new("127.0.0.1:0".parse().unwrap()).workers(Workers::Pool);
    Server::new(config, Http::handler(Hosts, web::Config::default()))
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

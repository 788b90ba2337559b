//! Requests of our own, to our servers and to servers that misbehave.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use tidewire::{
    http::{
        self as web, BodyLimits, Client, ClientConfig, ClientHooks, Handler, HandlerService, Http,
        RequestError, Session,
    },
    service::{Config, RunningServer, Server, Workers},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

const HANG: Duration = Duration::from_secs(30);

/// Tells what it was asked.
struct Mirror;

impl Handler for Mirror {
    fn received_head(
        &self,
        _session: &Session,
        _head: &http::request::Parts,
    ) -> Result<BodyLimits, Response<Bytes>> {
        Ok(BodyLimits::default().bytes_max(64 << 20))
    }

    async fn received(&self, session: &Session, request: Request<Bytes>) -> Response<Bytes> {
        let (head, body) = request.into_parts();
        let mut response = match head.uri.path() {
            "/large" => web::get_response(vec![b'x'; 1_000_000], None),
            "/moved" => {
                let mut moved = web::ok_response();
                *moved.status_mut() = StatusCode::FOUND;
                moved
                    .headers_mut()
                    .insert(header::LOCATION, "/here".parse().unwrap());
                moved
            }
            "/round" => {
                let mut moved = web::ok_response();
                *moved.status_mut() = StatusCode::FOUND;
                moved
                    .headers_mut()
                    .insert(header::LOCATION, "/round".parse().unwrap());
                moved
            }
            "/never" => std::future::pending().await,
            path => web::get_response(
                format!("{} {path} {} {:?}", head.method, body.len(), head.version),
                None,
            ),
        };
        let session = session.id().to_string().parse().unwrap();
        response.headers_mut().insert("session", session);
        response
    }
}

fn serve(change: impl FnOnce(Config) -> Config) -> RunningServer<Http<HandlerService<Mirror>>> {
    let config = Config::new("127.0.0.1:0".parse().unwrap()).workers(Workers::Pool);
    let http = Http::handler(Mirror, web::Config::default());
    Server::new(change(config), http).start().unwrap()
}

fn client(running: &RunningServer<Http<HandlerService<Mirror>>>, config: ClientConfig) -> Client {
    let url = format!("http://{}", running.local_addr());
    Client::new(config).base(&url).unwrap()
}

fn text(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

/// C-70, C-74.
#[tokio::test]
async fn every_method_goes_out_and_a_connection_is_used_again() {
    let running = serve(|config| config);
    let client = client(&running, ClientConfig::default());
    let first = client.get("/a").await.unwrap();
    assert_eq!(text(&first), "GET /a 0 HTTP/1.1");
    assert_eq!(
        text(&client.post("/a", "hello").await.unwrap()),
        "POST /a 5 HTTP/1.1"
    );
    assert_eq!(
        text(&client.put("/a?b", "").await.unwrap()),
        "PUT /a 0 HTTP/1.1"
    );
    assert_eq!(
        text(&client.delete("/a").await.unwrap()),
        "DELETE /a 0 HTTP/1.1"
    );
    assert_eq!(
        text(&client.options("/a").await.unwrap()),
        "OPTIONS /a 0 HTTP/1.1"
    );
    assert_eq!(
        text(&client.trace("/a").await.unwrap()),
        "TRACE /a 0 HTTP/1.1"
    );
    let head = client.head("/a").await.unwrap();
    assert_eq!((head.status(), head.body().len()), (StatusCode::OK, 0));
    assert_eq!(head.headers()["session"], first.headers()["session"]);
    let purge = Request::builder()
        .method("PURGE")
        .uri("/a")
        .body(Bytes::new())
        .unwrap();
    assert_eq!(
        text(&client.send(purge).await.unwrap()),
        "PURGE /a 0 HTTP/1.1"
    );
    assert_eq!(running.service().protocol().stats().requests, 8);
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn many_requests_share_a_connection_of_http2() {
    let running = serve(|config| config);
    let client = client(
        &running,
        ClientConfig::default().http2_prior_knowledge(true),
    );
    let mut sessions = std::collections::HashSet::new();
    let requests: Vec<_> = (0..50)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(
                async move { client.post("/large", vec![1; number * 5000]).await.unwrap() },
            )
        })
        .collect();
    for request in requests {
        let response = request.await.unwrap();
        assert_eq!(
            (response.version(), response.body().len()),
            (http::Version::HTTP_2, 1_000_000)
        );
        sessions.insert(response.headers()["session"].clone());
    }
    assert_eq!(sessions.len(), 1);
    let stats = running.service().protocol().stats();
    assert_eq!(stats.requests, 50);
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn https_is_verified_and_agrees_on_a_version() {
    let authority = crate::tls::Authority::new();
    let running = serve(|config| config.tls(authority.server_called("localhost")));
    let url = format!("https://localhost:{}/a", running.local_addr().port());
    let trusting = ClientConfig::default().tls(authority.client());
    let response = Client::new(trusting.clone()).get(&url).await.unwrap();
    let expected = if cfg!(feature = "http2") {
        http::Version::HTTP_2
    } else {
        http::Version::HTTP_11
    };
    assert_eq!(response.version(), expected);
    #[cfg(feature = "http2")]
    {
        let older = Client::new(trusting.clone().http2(false));
        assert_eq!(
            older.get(&url).await.unwrap().version(),
            http::Version::HTTP_11
        );
    }
    let stranger = crate::tls::Authority::new();
    let error = Client::new(trusting.tls(stranger.client()))
        .get(&url)
        .await
        .unwrap_err();
    let words = tidewire::ErrorChain(&error).to_string();
    assert!(matches!(error, RequestError::Connect(_)), "{words}");
    assert!(words.contains("localhost"), "{words}");
}

#[tokio::test]
async fn redirections_are_followed_as_far_as_it_is_allowed() {
    let running = serve(|config| config);
    let by_default = client(&running, ClientConfig::default());
    assert_eq!(by_default.get("/moved").await.unwrap().status(), 302);
    let following = client(&running, ClientConfig::default().redirects_max(3));
    assert_eq!(
        text(&following.post("/moved", "x").await.unwrap()),
        "GET /here 0 HTTP/1.1"
    );
    assert_eq!(following.get("/round").await.unwrap().status(), 302);
    assert_eq!(running.service().protocol().stats().requests, 1 + 2 + 4);
}

#[tokio::test]
async fn a_large_response_is_refused_or_read_piece_by_piece() {
    let running = serve(|config| config);
    let small = client(&running, ClientConfig::default().body_bytes_max(999_999));
    let error = small.get("/large").await.unwrap_err();
    assert!(
        matches!(error, RequestError::TooLarge { bytes_max: 999_999 }),
        "{error}"
    );
    assert_eq!(error.compatible_text(), "Invalid HTTP response!");
    let client = client(&running, ClientConfig::default());
    let request = Request::get("/large").body(http_body_util::Empty::<Bytes>::new());
    let response = client.send_streaming(request.unwrap()).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body.len(), 1_000_000);
}

/// A server that sends these bytes to whoever has sent a head, then waits or ends.
async fn canned(answer: &'static [u8], ends: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(tcp.read_u8().await.unwrap_or_default());
                }
                tcp.write_all(answer).await.ok();
                if !ends {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    format!("http://{address}/")
}

/// C-74: what went wrong is told in words, and in those of old programs.
#[tokio::test]
async fn failures_are_told_apart() {
    let patient = ClientConfig::default().head_bytes_max(8 << 10);
    let quick = patient.clone().request_timeout(Duration::from_millis(300));
    let (patient, quick) = (Client::new(patient), Client::new(quick));
    for (answer, ends, expected) in [
        (&b""[..], false, "Timeout!"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
            false,
            "Timeout!",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
            true,
            "Failed to send HTTP request!",
        ),
        (b"", true, "Failed to send HTTP request!"),
        (
            b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
            true,
            "Invalid HTTP response!",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            true,
            "Invalid HTTP response!",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            true,
            "Failed to send HTTP request!",
        ),
    ] {
        let url = canned(answer, ends).await;
        let client = if ends { &patient } else { &quick };
        let result = timeout(HANG, client.get(&url)).await;
        let error = result.expect("an end").unwrap_err();
        let words = tidewire::ErrorChain(&error).to_string();
        let answer = String::from_utf8_lossy(answer);
        assert_eq!(error.compatible_text(), expected, "{answer:?}: {words}");
    }
    let endless =
        Box::leak(("HTTP/1.1 200 OK\r\nA: ".to_owned() + &"x".repeat(100_000)).into_boxed_str());
    let error = patient
        .get(&canned(endless.as_bytes(), false).await)
        .await
        .unwrap_err();
    assert_eq!(error.compatible_text(), "Invalid HTTP response!");
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = patient.get(&format!("http://{free}/")).await.unwrap_err();
    assert_eq!(error.compatible_text(), "Connection failed!");
    assert!(
        tidewire::ErrorChain(&error)
            .to_string()
            .contains(&free.to_string())
    );
    for url in ["/relative", "ftp://a/", "http://", "a b"] {
        let error = patient.get(url).await.unwrap_err();
        let text = error.compatible_text();
        assert!(
            ["Invalid HTTP request!", "Connection failed!"].contains(&text),
            "{url}: {text}"
        );
    }
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_allowed() {
    let running = serve(|config| config);
    let quick = ClientConfig::default().request_timeout(Duration::from_millis(300));
    let client = client(&running, quick.requests_max(1));
    let empty = http_body_util::Empty::<Bytes>::new;
    let held = loop {
        let request = Request::get("/large").body(empty()).unwrap();
        if let Ok(response) = client.send_streaming(request).await {
            break response;
        }
    };
    let before = running.service().protocol().stats().requests;
    let error = client.get("/a").await.unwrap_err();
    assert_eq!(error.compatible_text(), "Timeout!");
    assert_eq!(running.service().protocol().stats().requests, before);
    drop(held);
    while client.get("/a").await.is_err() {}
}

/// Notes what it hears.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl ClientHooks for Notes {
    fn response_head(&self, head: &http::response::Parts) {
        self.0
            .lock()
            .unwrap()
            .push(format!("head {}", head.status.as_u16()));
    }

    fn response(&self, response: &Response<Bytes>) {
        self.0
            .lock()
            .unwrap()
            .push(format!("response {}", text(response)));
    }

    fn error(&self, error: &RequestError) {
        self.0
            .lock()
            .unwrap()
            .push(error.compatible_text().to_owned());
    }
}

/// 6.2: onReceivedResponseHeader, onReceivedResponse, onReceivedResponseError.
#[tokio::test]
async fn hooks_of_a_client_hear_of_heads_responses_and_errors() {
    let running = serve(|config| config);
    let notes = Notes::default();
    let client = client(&running, ClientConfig::default().hooks(notes.clone()));
    client.get("/a").await.unwrap();
    client.get("ftp://a/").await.unwrap_err();
    let heard = notes.0.lock().unwrap().clone();
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert_eq!(heard[..2], ["head 200", "response GET /a 0 HTTP/1.1"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_as_good_as_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let address = tidewire::net::Address::unix(folder.path().join("http.sock"));
    let config = Config::new(address.clone()).workers(Workers::Pool);
    let http = Http::handler(Mirror, web::Config::default());
    let _running = Server::new(config, http).start().unwrap();
    let client = Client::new(ClientConfig::default().address(address));
    let response = client.get("http://localhost/a").await.unwrap();
    assert_eq!(text(&response), "GET /a 0 HTTP/1.1");
}

#[cfg(feature = "blocking")]
#[test]
fn a_thread_without_runtime_sends_requests_too() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let running = runtime.block_on(async { serve(|config| config) });
    let url = format!("http://{}", running.local_addr());
    let client = tidewire::blocking::http::Client::default()
        .base(&url)
        .unwrap();
    assert_eq!(
        text(&client.post("/a", "abc").unwrap()),
        "POST /a 3 HTTP/1.1"
    );
    assert_eq!(client.head("/a").unwrap().status(), 200);
    assert_eq!(client.trace("/a").unwrap().body(), "TRACE /a 0 HTTP/1.1");
    let error = client.get("nowhere").unwrap_err();
    assert!(
        matches!(error, RequestError::Connect(_) | RequestError::Invalid(_)),
        "{error}"
    );
    let request = Request::builder()
        .method(http::Method::PATCH)
        .uri("/a")
        .body(Bytes::from("1"));
    assert_eq!(
        text(&client.send(request.unwrap()).unwrap()),
        "PATCH /a 1 HTTP/1.1"
    );
    let quick = ClientConfig::default().request_timeout(Duration::from_millis(100));
    let quick = tidewire::blocking::http::Client::new(quick)
        .base(&url)
        .unwrap();
    assert_eq!(
        quick.get("/never").unwrap_err().compatible_text(),
        "Timeout!"
    );
}

/// The address that is looked at is the one that is taken, so that a name which changes its meaning gains nothing.
#[tokio::test]
async fn addresses_of_a_name_are_connected_to_only_if_they_may_be() {
    let server = serve(|config| config);
    let port = server.local_addr().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&asked);
    let allow: web::AllowAddress = Arc::new(move |host, address| {
        notes.lock().unwrap().push((host.to_owned(), address));
        host != "localhost"
    });
    let client = Client::new(ClientConfig::default().allow_address(allow));
    let error = client.get(&format!("http://localhost:{port}/")).await;
    let Err(error @ RequestError::Connect(_)) = error else {
        panic!("{error:?}");
    };
    let text = tidewire::ErrorChain(&error).to_string();
    assert!(
        text.contains("no address of this host may be connected to"),
        "{text}"
    );
    let response = client.get(&format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(response.unwrap().status(), StatusCode::OK);
    let asked = asked.lock().unwrap();
    assert!(
        asked.iter().all(|(_, address)| address.is_loopback()),
        "{asked:?}"
    );
    assert!(
        asked.iter().any(|(host, _)| host == "127.0.0.1"),
        "{asked:?}"
    );
}

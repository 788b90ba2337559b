//! The hooks of an HTTP server: which, and in which order; TRACE; HTTP/2.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use tidewire::{
    http::{
        self as web, BodyLimits, CachedBody, FileCache, Handler, HandlerService, Http,
        ReceivedHead, Session,
    },
    service::{Config, RunningServer, Server, Workers},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};

const HANG: Duration = Duration::from_secs(30);

/// Notes every hook.
struct Noting {
    notes: Arc<Mutex<Vec<String>>>,
    ended: mpsc::Sender<()>,
    sees_cached: bool,
}

impl Noting {
    fn note(&self, note: impl Into<String>) {
        self.notes.lock().unwrap().push(note.into());
    }
}

impl Handler for Noting {
    fn connected(&self, _session: &Session) {
        self.note("connected");
    }

    fn received_head(
        &self,
        _session: &Session,
        head: &Parts,
    ) -> Result<BodyLimits, Response<Bytes>> {
        self.note(format!("head {}", head.uri.path()));
        match head.uri.path() {
            "/refused" => Err(web::error_response(StatusCode::FORBIDDEN, "no")),
            _ => Ok(BodyLimits::default().bytes_max(10)),
        }
    }

    async fn received(&self, session: &Session, request: Request<Bytes>) -> Response<Bytes> {
        self.note(format!(
            "request {} {}",
            request.uri().path(),
            request.body().len()
        ));
        if request.uri().path() == "/last" {
            session.disconnect();
        }
        match request.extensions().get::<ReceivedHead>() {
            Some(ReceivedHead(head)) => web::trace_response(head.clone()),
            None => web::ok_response(),
        }
    }

    fn received_cached(
        &self,
        _session: &Session,
        request: &Parts,
        response: &mut Response<CachedBody>,
    ) {
        self.note(format!("cached {}", request.uri.path()));
        response
            .headers_mut()
            .insert("x-seen", "yes".parse().unwrap());
    }

    fn sees_cached(&self) -> bool {
        self.sees_cached
    }

    fn request_error(&self, _session: &Session, error: &str) {
        self.note(format!("error {error}"));
    }

    fn disconnected(&self, _session: &Session) {
        self.note("disconnected");
        self.ended.try_send(()).ok();
    }
}

struct Running {
    server: RunningServer<Http<HandlerService<Noting>>>,
    notes: Arc<Mutex<Vec<String>>>,
    ended: mpsc::Receiver<()>,
}

fn start(sees_cached: bool, change: impl FnOnce(web::Config) -> web::Config) -> Running {
    let notes = Arc::<Mutex<Vec<String>>>::default();
    let (sender, ended) = mpsc::channel(16);
    let handler = Noting {
        notes: Arc::clone(&notes),
        ended: sender,
        sees_cached,
    };
    let config = Config::new("127.0.0.1:0".parse().unwrap()).workers(Workers::Pool);
    let http = Http::handler(handler, change(web::Config::default()));
    let server = Server::new(config, http).start().unwrap();
    Running {
        server,
        notes,
        ended,
    }
}

impl Running {
    async fn exchange(&self, request: &str) -> String {
        let mut tcp = TcpStream::connect(self.server.local_addr()).await.unwrap();
        tcp.write_all(request.as_bytes()).await.unwrap();
        tcp.shutdown().await.unwrap();
        let mut answer = String::new();
        timeout(HANG, tcp.read_to_string(&mut answer))
            .await
            .expect("an end")
            .unwrap();
        answer
    }

    async fn notes(mut self) -> Vec<String> {
        timeout(HANG, self.ended.recv())
            .await
            .expect("an end")
            .unwrap();
        std::mem::take(&mut *self.notes.lock().unwrap())
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// C-73.
#[tokio::test]
async fn hooks_come_in_the_order_that_is_documented() {
    let cache = FileCache::default();
    cache
        .insert("/file", Response::new(Bytes::from("f")), None)
        .unwrap();
    let post = |path: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let requests = get("/a")
        + &post("/b", "body")
        + &get("/refused")
        + &post("/too-large", "more than ten")
        + &get("/file")
        + "GET /malformed HTTP/1.1\r\n\r\n";
    for sees_cached in [false, true] {
        let running = start(sees_cached, |config| config.files(cache.clone()));
        let answer = running.exchange(&requests).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 6, "{answer}");
        assert_eq!(answer.contains("x-seen: yes"), sees_cached, "{answer}");
        let mut expected = vec![
            "connected",
            "head /a",
            "request /a 0",
            "head /b",
            "request /b 4",
            "head /refused",
            "head /too-large",
            "error expected a body of at most 10 bytes",
        ];
        expected.extend(sees_cached.then_some("cached /file"));
        let notes = running.notes().await;
        let (last, notes) = notes.split_last().unwrap();
        let (error, notes) = notes.split_last().unwrap();
        assert_eq!(notes, expected);
        assert!(
            error.starts_with("error ") && last == "disconnected",
            "{error} {last}"
        );
    }
}

#[tokio::test]
async fn a_session_that_is_to_end_answers_first() {
    let running = start(false, |config| config);
    let answer = running.exchange(&(get("/last") + &get("/behind"))).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");
    let expected = ["connected", "head /last", "request /last 0", "disconnected"];
    assert_eq!(running.notes().await, expected);
}

/// C-72, section 4.2: the answer to the request of the benchmark has 106 bytes.
#[tokio::test]
async fn a_trace_is_answered_with_the_request_as_it_came() {
    let running = start(false, |config| {
        config
            .trace(true)
            .trace_date(false)
            .head(tidewire::ws::HeadLimits::default())
    });
    let request = "TRACE / HTTP/1.1\r\nHost: a\r\ncoNTent-length: 0\r\nCookie: secret\r\n\r\n";
    let shown = "TRACE / HTTP/1.1\r\nHost: a\r\ncoNTent-length: 0\r\n\r\n";
    let answer = running.exchange(request).await;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: message/http\r\nContent-Length: {}\r\n\r\n",
        shown.len()
    );
    assert_eq!(answer, head + shown);
    assert_eq!(running.notes().await, ["connected", "disconnected"]);
}

#[tokio::test]
async fn a_handler_sees_the_head_as_it_came_if_it_wants_to() {
    let running = start(false, |config| config.keep_heads(true));
    let request = "GET /a HTTP/1.1\r\nhOsT: a\r\n\r\n";
    let answer = running.exchange(&(get("/first") + request)).await;
    assert!(answer.ends_with(request), "{answer}");
    assert!(answer.contains(&get("/first")), "{answer}");
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn hooks_hear_of_http2_alike() {
    let cache = FileCache::default();
    cache
        .insert("/file", Response::new(Bytes::from(vec![1; 300_000])), None)
        .unwrap();
    let running = start(true, |config| config.files(cache));
    let config = web::ClientConfig::default().http2_prior_knowledge(true);
    let url = format!("http://{}", running.server.local_addr());
    let client = web::Client::new(config).base(&url).unwrap();
    client.post("/a", "body").await.unwrap();
    assert_eq!(
        client
            .post("/large", "more than ten")
            .await
            .unwrap()
            .status(),
        413
    );
    let file = client.get("/file").await.unwrap();
    assert_eq!(
        (&file.headers()["x-seen"], file.body().len()),
        (&"yes".parse().unwrap(), 300_000)
    );
    let expected = [
        "connected",
        "head /a",
        "request /a 4",
        "head /large",
        "error expected a body of at most 10 bytes",
        "cached /file",
        "disconnected",
    ];
    drop(client);
    assert_eq!(running.notes().await, expected);
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn a_connection_of_http2_without_requests_ends() {
    let idle = Duration::from_millis(100);
    let running = start(false, |config| config.idle_timeout(idle));
    let config = web::ClientConfig::default().http2_prior_knowledge(true);
    let url = format!("http://{}/a", running.server.local_addr());
    let client = web::Client::new(config);
    client.get(&url).await.unwrap();
    assert_eq!(running.notes().await.last().unwrap(), "disconnected");
    drop(client);
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn a_client_of_http2_that_takes_no_answer_is_cut() {
    use http_body_util::Empty;
    use hyper_util::rt::TokioIo;
    let cache = FileCache::default();
    cache
        .insert(
            "/file",
            Response::new(Bytes::from(vec![1; 3_000_000])),
            None,
        )
        .unwrap();
    let within = Duration::from_millis(300);
    let running = start(true, |config| config.files(cache).answer_timeout(within));
    let tcp = TcpStream::connect(running.server.local_addr())
        .await
        .unwrap();
    let connected = raw_client_of_http2(TokioIo::new(tcp)).await;
    let (mut sender, connection) = connected;
    let ended = tokio::spawn(connection);
    let request = Request::get("http://a/file")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    // The body is kept and never read, so that its window stays used up.
    timeout(HANG, ended)
        .await
        .expect("the server ends it")
        .unwrap()
        .ok();
    drop(response);
    assert_eq!(running.notes().await.last().unwrap(), "disconnected");
}

#[cfg(feature = "http2")]
async fn raw_client_of_http2(
    io: hyper_util::rt::TokioIo<TcpStream>,
) -> (
    hyper::client::conn::http2::SendRequest<http_body_util::Empty<Bytes>>,
    impl Future<Output = hyper::Result<()>> + Send,
) {
    let executor = hyper_util::rt::TokioExecutor::new();
    hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap()
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn a_drain_lets_the_requests_of_http2_finish() {
    let running = start(false, |config| config);
    let config = web::ClientConfig::default().http2_prior_knowledge(true);
    let url = format!("http://{}", running.server.local_addr());
    let client = web::Client::new(config).base(&url).unwrap();
    client.get("/a").await.unwrap();
    let drained = timeout(HANG, running.server.drain(HANG))
        .await
        .expect("soon");
    assert!(drained, "the idle connection ends");
}

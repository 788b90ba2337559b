//! HTTP, HTTPS, and WebSocket over both.

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use tidewire::{
    http::{self as web, BodyLimits, CachedBody, FileCache, Http},
    proto::{CloseCode, CloseFrame, Message, MessageRef},
    service::{self, Workers},
    ws,
};

use super::Log;
use crate::{
    tcp::{HANG, soon},
    tls::Authority,
};

struct ToldRequests(Log);

impl web::Handler for ToldRequests {
    fn connected(&self, session: &web::Session) {
        assert_eq!(session.peer().tls.is_some(), session.peer().secure);
        self.0.push("connected");
    }

    fn received_head(
        &self,
        _session: &web::Session,
        head: &Parts,
    ) -> Result<BodyLimits, Response<Bytes>> {
        self.0.push(format!("head {}", head.uri.path()));
        match head.uri.path() {
            "/refused" => Err(web::error_response(StatusCode::FORBIDDEN, "no")),
            _ => Ok(BodyLimits::default().bytes_max(10)),
        }
    }

    async fn received(&self, _session: &web::Session, request: Request<Bytes>) -> Response<Bytes> {
        let (path, len) = (request.uri().path(), request.body().len());
        self.0.push(format!("received {path} {len}"));
        web::ok_response()
    }

    fn received_cached(
        &self,
        _session: &web::Session,
        request: &Parts,
        _response: &mut Response<CachedBody>,
    ) {
        self.0.push(format!("cached {}", request.uri.path()));
    }

    fn sees_cached(&self) -> bool {
        true
    }

    fn request_error(&self, _session: &web::Session, error: &str) {
        self.0.push(format!("error: {error}"));
    }

    fn disconnected(&self, _session: &web::Session) {
        self.0.push("disconnected");
    }
}

pub(super) async fn http(secure: bool) -> Log {
    let log = Log::default();
    let cache = FileCache::default();
    let file = Response::new(Bytes::from("f"));
    cache.insert("/file", file, None).unwrap();
    let handler = ToldRequests(log.clone());
    let http = Http::handler(handler, web::Config::default().files(cache));
    let mut config = service::Config::new("127.0.0.1:0".parse().unwrap()).workers(Workers::Pool);
    let mut client = web::ClientConfig::default();
    if secure {
        let authority = Authority::new();
        config = config.tls(authority.server());
        client = client.tls(authority.client());
    }
    let server = service::Server::new(config, http).start().unwrap();
    let scheme = if secure { "https" } else { "http" };
    let base = format!("{scheme}://localhost:{}", server.local_addr().port());
    let client = web::Client::new(client).base(&base).unwrap();
    for (path, body, status) in [
        ("/hello", "body", 200),
        ("/refused", "", 403),
        ("/large", "more than ten", 413),
    ] {
        let answer = soon(client.post(path, body)).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
    let answer = soon(client.get("/file")).await.unwrap();
    assert_eq!(&answer.body()[..], b"f");
    drop(client);
    log.until("disconnected").await;
    assert!(soon(server.drain(HANG)).await);
    log
}

/// Echoes, pings and closes as it is told.
struct ToldMessages(Log);

impl ws::Handler for ToldMessages {
    fn opened(&mut self, session: &mut ws::Session<'_>) {
        assert_eq!(session.peer().tls.is_some(), session.peer().secure);
        self.0.push("opened");
    }

    fn message(&mut self, session: &mut ws::Session<'_>, message: MessageRef<'_>) {
        let text = str::from_utf8(message.payload()).unwrap();
        self.0.push(format!("message {text}"));
        match text {
            "ping me" => session.send_ping(b"me").unwrap(),
            "bye" => session.close(CloseCode::NORMAL, ""),
            _ => session.send_text(text).unwrap(),
        }
    }

    fn ping(&mut self, _session: &mut ws::Session<'_>, payload: &[u8]) {
        self.0.push(format!("ping {}", payload.len()));
    }

    fn pong(&mut self, session: &mut ws::Session<'_>, payload: &[u8]) {
        self.0.push(format!("pong {}", payload.len()));
        session.send_text("pong").unwrap();
    }

    fn drained(&mut self, _session: &mut ws::Session<'_>) {
        self.0.push("drained"); // nobody is slow here
    }

    fn closed(&mut self, outcome: Result<Option<&CloseFrame>, &ws::RecvError>) {
        let code = outcome.unwrap().unwrap().code.0;
        self.0.push(format!("closed {code}"));
    }
}

pub(super) async fn ws(secure: bool) -> Log {
    let log = Log::default();
    let told = log.clone();
    let mut config = crate::server::config();
    let authority = Authority::new();
    if secure {
        config.tls = Some(authority.server());
    }
    let handlers = ws::Handlers(move |_request: &ws::Request| ToldMessages(told.clone()));
    let server = ws::Server::new(config).route("/", handlers);
    let server = server.start().unwrap();
    let port = server.local_addr().port();
    let client = if secure {
        let client = ws::Client::new(&format!("wss://localhost:{port}/")).unwrap();
        client.tls(authority.client())
    } else {
        ws::Client::new(&format!("ws://127.0.0.1:{port}/")).unwrap()
    };
    let mut socket = soon(client.connect()).await.unwrap();
    socket.send("hello").await.unwrap();
    let echo = soon(socket.recv()).await.unwrap();
    assert_eq!(echo, Some(Message::text("hello")));
    socket.ping(b"1").await.unwrap();
    socket.send("ping me").await.unwrap();
    let answered = soon(socket.recv()).await.unwrap();
    assert_eq!(answered, Some(Message::text("pong")));
    socket.send("bye").await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), None);
    drop(socket);
    assert!(soon(server.drain(HANG)).await);
    log
}

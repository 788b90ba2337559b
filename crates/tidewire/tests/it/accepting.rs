//! Endpoints that decide about requests, at once or after a wait, and functions as endpoints.

use std::{
    pin::{Pin, pin},
    task::{Context, Waker},
    time::Duration,
};

use allocation_counter::measure;
use tidewire::ws::{
    AcceptError, AcceptFuture, Acceptor, Client, CloseCode, Config, Decision, Endpoint, Message,
    Refusal, Request, RunningServer, Server, ServerConfig, WebSocket,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
    net::TcpStream,
    sync::{mpsc, oneshot},
};

use crate::server::config;

/// Fails a test that hangs.
async fn within<T>(test: impl Future<Output = T>) -> T {
    let limit = Duration::from_mins(1);
    tokio::time::timeout(limit, test).await.expect("it goes on")
}

type Answer = oneshot::Sender<Result<Decision, Refusal>>;

/// Leaves every decision to the test.
struct Asks(mpsc::Sender<Answer>);

struct Account(&'static str);

impl Endpoint for Asks {
    fn accept<'a>(&'a self, request: &'a Request) -> AcceptFuture<'a> {
        AcceptFuture::wait(async move {
            assert!(request.peer.address.is_some());
            let (answer, answered) = oneshot::channel();
            self.0.send(answer).await.expect("the test listens");
            answered.await.expect("the test answers")
        })
    }

    fn serve(
        &self,
        mut socket: WebSocket,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let name = request.extension::<Account>().map(|account| account.0);
            let about = format!("{name:?} {:?}", socket.subprotocol());
            socket.send(about).await.ok();
            socket.recv().await.ok();
        })
    }
}

struct Asked {
    server: RunningServer,
    answers: mpsc::Receiver<Answer>,
}

impl Asked {
    fn new(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = config();
        config.limits.handshake_timeout = Duration::from_hours(1);
        change(&mut config);
        let (asked, answers) = mpsc::channel(8);
        let server = Server::new(config).route("/", Asks(asked)).start().unwrap();
        Self { server, answers }
    }

    fn client(&self) -> Client {
        Client::new(&format!("ws://{}/", self.server.local_addr())).unwrap()
    }

    /// The next request that waits.
    async fn next(&mut self) -> Answer {
        within(self.answers.recv()).await.unwrap()
    }

    async fn until_refused(&self, count: u64) {
        within(async {
            while self.server.stats().refused != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

fn decision() -> Decision {
    let mut config = Config::default();
    config.message_bytes_max = 10;
    Decision::new()
        .header("X-Server", format!("a{}", 7))
        .subprotocol("v2")
        .subprotocol(format!("v{}", 1))
        .extension(Account("Ben"))
        .extension(Account("Ada"))
        .config(config)
}

/// Checks what a client sees of [`decision`].
async fn check_decision(socket: &mut WebSocket) {
    assert_eq!(socket.subprotocol(), Some("v1"));
    let about = within(socket.recv()).await.unwrap();
    assert_eq!(about, Some(Message::text("Some(\"Ada\") Some(\"v1\")")));
    socket.send("longer than ten bytes").await.unwrap();
    assert_eq!(within(socket.recv()).await.unwrap(), None);
    let code = socket.close_frame().unwrap().code;
    assert_eq!(code, CloseCode::TOO_BIG);
}

#[tokio::test]
async fn a_decision_that_is_waited_for_sets_fields_subprotocol_limits_and_extensions() {
    let mut asked = Asked::new(|_config| {});
    let client = asked.client().subprotocol("v0").subprotocol("v1");
    let connecting = tokio::spawn(async move { client.connect_with_head().await });
    asked.next().await.send(Ok(decision())).unwrap();
    let (mut socket, head) = within(connecting).await.unwrap().unwrap();
    assert_eq!(head.values("x-server").collect::<Vec<_>>(), [b"a7"]);
    check_decision(&mut socket).await;
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

async fn raw(server: &RunningServer) -> TcpStream {
    let mut tcp = TcpStream::connect(server.local_addr()).await.unwrap();
    tcp.write_all(REQUEST.as_bytes()).await.unwrap();
    tcp
}

#[tokio::test]
async fn a_refusal_that_is_waited_for_has_its_status_fields_and_body() {
    let mut asked = Asked::new(|_config| {});
    let mut tcp = raw(&asked.server).await;
    let refusal = Refusal::new(429, "slow down").header("Retry-After", "3");
    let refusal = refusal.body("application/json", "{\"slow\":true}");
    asked.next().await.send(Err(refusal)).unwrap();
    let mut answer = String::new();
    within(tcp.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
    assert!(head.contains("\r\nRetry-After: 3"), "{head}");
    assert!(
        head.contains("\r\nContent-Type: application/json"),
        "{head}"
    );
    assert_eq!(body, "{\"slow\":true}");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_wait() {
    let mut asked = Asked::new(|_config| {});
    for early in [&b""[..], b"\x81\x82\0\0\0\0hi"] {
        let mut tcp = raw(&asked.server).await;
        tcp.write_all(early).await.unwrap();
        let mut answer = asked.next().await;
        assert!(!answer.is_closed());
        drop(tcp);
        within(answer.closed()).await;
    }
    asked.until_refused(2).await;
    assert_eq!(asked.server.stats().connections, 0);
}

#[tokio::test]
async fn a_frame_sent_during_the_wait_is_not_lost() {
    let mut asked = Asked::new(|_config| {});
    let mut tcp = raw(&asked.server).await;
    let answer = asked.next().await;
    // More than is looked at while the decision is waited for, too.
    let frame = [&b"\x82\xfe\x20\x00\0\0\0\0"[..], &[7; 0x2000]].concat();
    tcp.write_all(&frame).await.unwrap();
    answer.send(Ok(Decision::new())).unwrap();
    let mut head = vec![0; 4];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(tcp.read_u8()).await.unwrap());
    }
    let mut about = [0; 11];
    within(tcp.read_exact(&mut about)).await.unwrap();
    assert_eq!(&about, b"\x81\x09None None");
    // The endpoint ends when it has received the message.
    within(tcp.read_to_end(&mut head)).await.ok();
    assert_eq!(asked.server.traffic().total.messages_received, 1);
}

#[tokio::test]
async fn a_drain_ends_the_wait() {
    let mut asked = Asked::new(|_config| {});
    let mut tcp = raw(&asked.server).await;
    let mut answer = asked.next().await;
    assert!(within(asked.server.drain(Duration::from_hours(1))).await);
    within(answer.closed()).await;
    assert_eq!(within(tcp.read(&mut [0])).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn the_deadline_of_the_handshake_ends_the_wait() {
    let mut asked = Asked::new(|config| {
        config.limits.handshake_timeout = Duration::from_millis(20);
    });
    let mut tcp = raw(&asked.server).await;
    // Too late for it to be asked, or the wait ends.
    if let Some(mut answer) = within(async {
        tokio::select! {
            answer = asked.answers.recv() => answer,
            _ended = tcp.read_u8() => None,
        }
    })
    .await
    {
        within(answer.closed()).await;
    }
    assert_eq!(within(tcp.read(&mut [0])).await.unwrap_or(0), 0);
    asked.until_refused(1).await;
}

#[tokio::test(start_paused = true)]
async fn on_a_stream_of_the_caller_the_wait_ends_with_the_deadline_or_the_client() {
    let acceptor = Acceptor::new().handshake_timeout(Duration::from_secs(3));
    let never = |_request| std::future::pending();
    let (mut near, far) = duplex(4096);
    near.write_all(REQUEST.as_bytes()).await.unwrap();
    let ended = acceptor.accept_with(far, never).await;
    assert!(matches!(ended, Err(AcceptError::TimedOut)), "{ended:?}");
    let (mut near, far) = duplex(4096);
    near.write_all(REQUEST.as_bytes()).await.unwrap();
    drop(near);
    let ended = acceptor.accept_with(far, never).await;
    assert!(matches!(ended, Err(AcceptError::Lost(_))), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn on_a_stream_of_the_caller_a_decision_is_answered_and_the_socket_has_the_request() {
    let (near, far) = duplex(4096);
    let client = Client::new("ws://pipe.example/?token=t").unwrap();
    let decide = |request: Request| async move {
        match request.head.query_parameter("token").as_deref() {
            Some("t") => Ok(Decision::new().header("X-A", "1").extension(Account("Ada"))),
            _ => Err(Refusal::new(401, "expected a token")),
        }
    };
    let acceptor = Acceptor::new();
    let (opened, accepted) =
        tokio::join!(client.connect_with(near), acceptor.accept_with(far, decide));
    drop(opened.unwrap());
    let mut socket = accepted.unwrap();
    let request = socket.request().unwrap();
    assert_eq!(request.head.path(), "/");
    assert_eq!(request.extension::<Account>().unwrap().0, "Ada");
    assert!(request.extension::<String>().is_none());
    assert!(socket.take_request().is_some());
    assert!(socket.request().is_none());
}

#[tokio::test]
async fn functions_of_a_socket_or_of_a_socket_and_a_request_are_endpoints() {
    let server = Server::new(config())
        .route("/socket", |mut socket: WebSocket| async move {
            let request = socket.request().expect("it is there");
            let path = request.head.path().to_owned();
            socket.send(path).await.ok();
            socket.recv().await.ok();
            let held = socket.request().is_some();
            assert!(!held, "an idle connection does not hold it");
        })
        .route(
            "/both",
            |mut socket: WebSocket, request: Request| async move {
                assert!(socket.request().is_none(), "there is one owner");
                socket.send(request.head.path()).await.ok();
            },
        )
        .route_any(by_name)
        .start()
        .unwrap();
    for path in ["/socket", "/both", "/else"] {
        let url = format!("ws://{}{path}", server.local_addr());
        let mut socket = tidewire::ws::connect(&url).await.unwrap();
        assert!(socket.request().is_none(), "a client has none");
        let said = within(socket.recv()).await.unwrap();
        assert_eq!(said, Some(Message::text(path)));
    }
}

async fn by_name(mut socket: WebSocket, request: Request) {
    socket.send(request.head.path()).await.ok();
}

#[test]
fn a_decision_that_is_there_costs_no_allocation() {
    let info = measure(|| {
        let accepted = pin!(AcceptFuture::from(Decision::default()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(accepted.poll(&mut context).is_ready());
    });
    assert_eq!(info.count_total, 0);
}

#[cfg(feature = "http2")]
mod http2 {
    use tidewire::ws::{ConnectError, Http2Connection};

    use super::*;

    async fn connect(asked: &Asked) -> Http2Connection {
        asked.client().connect_http2().await.unwrap()
    }

    /// Opens in the background.
    fn open(
        connection: &Http2Connection,
        client: Client,
    ) -> tokio::task::JoinHandle<Result<WebSocket, ConnectError>> {
        let connection = connection.clone();
        tokio::spawn(async move { connection.open(&client).await })
    }

    #[tokio::test]
    async fn streams_wait_alone_and_are_decided_alike() {
        let mut asked = Asked::new(|config| config.http2 = true);
        let connection = connect(&asked).await;
        let client = asked.client().subprotocol("v0").subprotocol("v1");
        let (first, second) = (
            open(&connection, client.clone()),
            open(&connection, client.clone()),
        );
        let (one, other) = (asked.next().await, asked.next().await);
        other.send(Ok(decision())).unwrap();
        one.send(Ok(decision())).unwrap();
        for opening in [first, second] {
            check_decision(&mut within(opening).await.unwrap().unwrap()).await;
        }
        let third = open(&connection, client);
        let refusal = Refusal::new(403, "no").header("X-A", "1");
        asked.next().await.send(Err(refusal)).unwrap();
        let error = within(third).await.unwrap().unwrap_err();
        assert_eq!(error.status(), Some(403), "{error:?}");
    }

    #[tokio::test]
    async fn a_stream_or_connection_that_goes_away_ends_the_wait() {
        let mut asked = Asked::new(|config| config.http2 = true);
        let connection = connect(&asked).await;
        let opening = open(&connection, asked.client());
        let mut answer = asked.next().await;
        opening.abort();
        within(answer.closed()).await;
        asked.until_refused(1).await;

        let mut tcp = TcpStream::connect(asked.server.local_addr()).await.unwrap();
        let (near, far) = duplex(4096);
        let relay = tokio::spawn(async move {
            let mut far = far;
            tokio::io::copy_bidirectional(&mut far, &mut tcp).await.ok();
        });
        let (requests, h2) = h2::client::handshake(near).await.unwrap();
        tokio::spawn(async move { h2.await.ok() });
        let mut requests = requests.ready().await.unwrap();
        within(async {
            while !requests.is_extended_connect_protocol_enabled() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let request = http::Request::builder()
            .method(http::Method::CONNECT)
            .uri("http://localhost/")
            .header("sec-websocket-version", "13")
            .extension(h2::ext::Protocol::from_static("websocket"))
            .body(())
            .unwrap();
        let (_response, _stream) = requests.send_request(request, false).unwrap();
        let mut answer = asked.next().await;
        relay.abort();
        within(answer.closed()).await;
        asked.until_refused(2).await;
    }

    #[tokio::test]
    async fn a_request_that_waits_has_a_place_of_the_servers_limits() {
        let mut asked = Asked::new(|config| {
            config.http2 = true;
            config.limits.connections_max = 1;
        });
        let connection = connect(&asked).await;
        let first = open(&connection, asked.client());
        let waiting = asked.next().await;
        let second = within(open(&connection, asked.client())).await.unwrap();
        let error = second.unwrap_err();
        assert_eq!(error.status(), Some(503), "{error:?}");
        waiting.send(Ok(Decision::new())).unwrap();
        within(first).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_drain_ends_the_wait_of_a_stream() {
        let mut asked = Asked::new(|config| config.http2 = true);
        let connection = connect(&asked).await;
        let opening = open(&connection, asked.client());
        let mut answer = asked.next().await;
        let draining = asked.server.drain(Duration::from_hours(1));
        let (drained, ()) = tokio::join!(within(draining), within(answer.closed()));
        assert!(drained);
        within(opening).await.unwrap().unwrap_err();
    }
}

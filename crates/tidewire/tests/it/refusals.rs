//! Errors of a client when a server answers with HTTP instead of a WebSocket.
//!
//! Other inputs of this kind, each below: every status with a meaning of its own (redirects with whole and
//! relative addresses, challenges in several fields, 426, `Retry-After` in seconds and as a date); bodies of a
//! known length, in chunks, to the end of the connection, endless, dripped and silent; interim responses before the
//! answer; the same over HTTP/2, in a tunnel, and in a reconnecting client.

use std::time::Duration;

use tidewire::ws::{
    Backoff, Client, ClientEvent, ConnectError, DownReason, HttpResponse, TunnelAnswer, WebSocket,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    net::TcpListener,
    time::Instant,
};

/// Reads a request's head.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Connects to a server that answers so and then does `after` with its stream.
async fn answered_then<F: Future<Output = ()>>(
    answer: &str,
    after: impl FnOnce(DuplexStream) -> F,
) -> Result<WebSocket<DuplexStream>, ConnectError> {
    let (ours, mut theirs) = duplex(64 << 10);
    let client = Client::new("wss://example.com/a/b?c").unwrap();
    let server = async {
        head(&mut theirs).await;
        theirs.write_all(answer.as_bytes()).await.unwrap();
        after(theirs).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        connected = client.connect_with(ours) => connected,
        () = server => unreachable!(),
    }
}

/// The refusal, and the whole chain of its error.
async fn refused(answer: &str) -> (Box<HttpResponse>, String) {
    let error = answered_then(answer, |stream| async { drop(stream) }).await;
    response(error.unwrap_err())
}

fn response(error: ConnectError) -> (Box<HttpResponse>, String) {
    let ConnectError::Refused(response) = error else {
        panic!("{error:?}");
    };
    let text = response.to_string();
    (response, text)
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_wanted_are_named_and_the_body_is_there() {
    let body = r#"{"error":"token expired"}"#;
    let (response, text) = refused(&format!(
        "HTTP/1.1 401 Nope\r\nWWW-Authenticate: Basic realm=\"a\"\r\nwww-authenticate: Bearer error=\"invalid_token\"\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    assert_eq!(response.status(), 401);
    let challenges: Vec<_> = response
        .headers()
        .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"))
        .map(|(_, value)| String::from_utf8_lossy(value))
        .collect();
    assert_eq!(
        challenges,
        ["Basic realm=\"a\"", "Bearer error=\"invalid_token\""]
    );
    assert_eq!(
        response.header("CONTENT-TYPE"),
        Some(&b"application/json"[..])
    );
    assert_eq!(response.header("x-none"), None);
    assert_eq!(response.body(), body);
    assert!(response.is_body_complete());
    assert_eq!(
        text,
        "the server answered 401 Unauthorized, expected credentials that the server accepts (Basic realm=\"a\", \
         Bearer error=\"invalid_token\"): {\"error\":\"token expired\"}"
    );
    let printed = format!("{response:?}");
    assert!(!printed.contains("realm"), "{printed}");
}

#[tokio::test(start_paused = true)]
async fn a_redirect_tells_where_it_points_to_and_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        for (location, expected) in [
            ("/login", Some("wss://example.com/login")),
            ("login?x=1", Some("wss://example.com/a/login?x=1")),
            ("https://other.example/", Some("wss://other.example/")),
            ("//other.example:81/", Some("wss://other.example:81/")),
            ("ws://other.example", Some("ws://other.example/")),
            ("mailto:a@b", None),
        ] {
            let answer =
                format!("HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            let (response, text) = refused(&answer).await;
            let told = response.location().map(ToString::to_string);
            assert_eq!(told.as_deref(), expected, "{status} {location}");
            assert!(text.contains(expected.unwrap_or(location)), "{text}");
            assert!(text.contains("redirects are not followed"), "{text}");
        }
    }
    let (response, _) = refused("HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n").await;
    assert!(response.location().is_none());
    let (response, _) =
        refused("HTTP/1.1 403 X\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n").await;
    assert!(response.location().is_none(), "403 redirects nowhere");
}

#[tokio::test(start_paused = true)]
async fn what_can_be_done_is_told_in_words() {
    for (answer, expected) in [
        (
            "403 X\r\nContent-Length: 25\r\n\r\n\r\n  your plan has ended\r\n",
            "the server answered 403 Forbidden: your plan has ended",
        ),
        (
            "404 X\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<html>no</html>",
            "the server answered 404 Not Found, no WebSocket is served at this path",
        ),
        (
            "200 OK\r\nContent-Length: 14\r\n\r\n <!doctype html>",
            "the server answered 200 OK, no WebSocket is served at this path",
        ),
        (
            "426 X\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8, 7\r\nContent-Length: 0\r\n\r\n",
            "the server answered 426 Upgrade Required, expected another protocol (websocket) or version (8, 7)",
        ),
        (
            "503 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
            "the server answered 503 Service Unavailable, it asks to try again in 7 s",
        ),
        (
            "599 X\r\nContent-Length: 0\r\n\r\n",
            "the server answered 599",
        ),
        (
            "500 X\r\nContent-Length: 10\r\n\r\na\u{1b}[31mb\u{7}c\u{fffd}",
            "the server answered 500 Internal Server Error: a\u{fffd}[31mb\u{fffd}c",
        ),
    ] {
        let (_response, text) = refused(&format!("HTTP/1.1 {answer}")).await;
        assert!(text.starts_with(expected), "{text}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    let long = "x".repeat(5000);
    let (response, text) = refused(&format!(
        "HTTP/1.1 500 X\r\nContent-Length: 5000\r\n\r\n{long}"
    ))
    .await;
    assert_eq!(response.body().len(), 5000);
    assert!(text.len() < 300, "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_time_to_wait_is_understood_in_seconds_and_as_a_date() {
    for (fields, expected) in [
        ("Retry-After: 120", Some(120)),
        ("Retry-After: 0", Some(0)),
        ("retry-after:  99999999999 ", Some(99_999_999_999)),
        (
            "Date: Sat, 21 Nov 2026 07:00:00 GMT\r\nRetry-After: Sat, 21 Nov 2026 07:02:00 GMT",
            Some(120),
        ),
        (
            "Retry-After: Saturday, 21-Nov-26 07:02:00 GMT\r\nDate: Sat Nov 21 07:00:00 2026",
            Some(120),
        ),
        // The past is no time to wait; without `Date` by the local clock.
        (
            "Date: Sat, 21 Nov 2026 07:00:00 GMT\r\nRetry-After: Sat, 21 Nov 2026 06:00:00 GMT",
            Some(0),
        ),
        ("Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
        ("Retry-After: soon", None),
        ("Retry-After: +7", None),
        ("Retry-After: ", None),
        ("X: y", None),
    ] {
        for status in [429, 503, 404] {
            let answer = format!("HTTP/1.1 {status} X\r\n{fields}\r\nContent-Length: 0\r\n\r\n");
            let (response, _) = refused(&answer).await;
            let expected = expected.filter(|_| status != 404).map(Duration::from_secs);
            assert_eq!(response.retry_after(), expected, "{status} {fields}");
            let error = ConnectError::Refused(response);
            assert_eq!(error.retry_after(), expected, "{status} {fields}");
            assert_eq!(error.is_permanent(), status == 404);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_are_read_as_they_are_framed() {
    for (answer, body, complete) in [
        (
            "HTTP/1.1 403 X\r\nContent-Length: 2\r\n\r\nhello",
            "he",
            true,
        ),
        (
            "HTTP/1.1 403 X\r\nContent-Length: 9\r\n\r\nhello",
            "hello",
            false,
        ),
        (
            "HTTP/1.1 403 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nA: b\r\n\r\n",
            "hello",
            true,
        ),
        (
            "HTTP/1.1 403 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "hello",
            false,
        ),
        (
            "HTTP/1.1 403 X\r\nTransfer-Encoding: chunked\r\n\r\nhello",
            "",
            false,
        ),
        ("HTTP/1.0 403 X\r\n\r\nhello", "hello", true),
        (
            "HTTP/1.1 403 X\r\nConnection: close\r\n\r\nhello",
            "hello",
            true,
        ),
        ("HTTP/1.1 204 X\r\n\r\nhello", "", true),
    ] {
        let (response, _) = refused(answer).await;
        assert_eq!(response.body(), body, "{answer:?}");
        assert_eq!(response.is_body_complete(), complete, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_endless_body_costs_no_more_than_its_bounds() {
    for head in [
        "HTTP/1.1 403 X\r\n\r\n",
        "HTTP/1.1 403 X\r\nContent-Length: 1000000000000\r\n\r\n",
        "HTTP/1.1 403 X\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
    ] {
        let begin = Instant::now();
        let flood = answered_then(head, |mut stream| async move {
            while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
        });
        let (response, _) = response(flood.await.unwrap_err());
        assert_eq!(response.body().len(), 16 << 10);
        assert!(!response.is_body_complete());
        assert_eq!(begin.elapsed(), Duration::ZERO, "it is not waited for");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_costs_neither_the_status_nor_the_connect_deadline() {
    let head = "HTTP/1.1 403 X\r\nContent-Length: 100\r\n\r\nhello";
    let silent = |stream: DuplexStream| async {
        let _open = stream;
        std::future::pending::<()>().await;
    };
    let begin = Instant::now();
    let (response, _) = response(answered_then(head, silent).await.unwrap_err());
    assert_eq!(
        (response.status(), response.body().as_ref()),
        (403, &b"hello"[..])
    );
    assert!(!response.is_body_complete());
    assert_eq!(
        begin.elapsed().as_millis() / 100,
        20,
        "{:?}",
        begin.elapsed()
    );

    let (ours, mut theirs) = duplex(1024);
    let limit = Duration::from_millis(500);
    let client = Client::new("ws://a/").unwrap().connect_timeout(limit);
    let serve = async {
        theirs.write_all(head.as_bytes()).await.unwrap();
        theirs
    };
    let (error, _theirs) = tokio::join!(client.connect_with(ours), serve);
    let error = error.unwrap_err();
    assert_eq!(error.status(), Some(403), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn interim_responses_before_a_refusal_are_passed_over() {
    let (_, text) = refused(
        "HTTP/1.1 103 X\r\nLink: </a.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
         HTTP/1.1 403 X\r\nContent-Length: 2\r\n\r\nno",
    )
    .await;
    assert_eq!(text, "the server answered 403 Forbidden: no");
    let endless = "HTTP/1.1 102 X\r\n\r\n".repeat(100);
    let error = answered_then(&endless, |_stream| async {})
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Handshake(_)), "{error:?}");
}

/// Somebody in between may have taken the answer before for the final one.
#[tokio::test(start_paused = true)]
async fn a_switch_of_protocols_behind_an_interim_response_is_refused() {
    let (ours, mut theirs) = duplex(4096);
    let server = async {
        let request = head(&mut theirs).await;
        let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap();
        let key = key.split("\r\n").next().unwrap();
        let accept = tidewire::proto::handshake::accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 X\r\nUpgrade: websocket\r\n\
             Connection: upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        theirs.write_all(answer.as_bytes()).await.unwrap();
        theirs
    };
    let client = Client::new("ws://a/").unwrap();
    let (socket, _theirs) = tokio::join!(client.connect_with(ours), server);
    let error = socket.map(drop).unwrap_err();
    assert!(matches!(error, ConnectError::Handshake(_)), "{error:?}");
}

/// A server for one connection that answers so.
async fn serve_once(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    url
}

#[tokio::test]
async fn a_tunnel_gives_whole_bodies_and_no_parts() {
    for (answer, expected) in [
        ("HTTP/1.1 403 X\r\nContent-Length: 2\r\n\r\nno", Some("no")),
        (
            "HTTP/1.1 403 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
            Some("no"),
        ),
        ("HTTP/1.0 403 X\r\n\r\nno", Some("no")),
        ("HTTP/1.1 403 X\r\nContent-Length: 3\r\n\r\nno", None),
    ] {
        let client = Client::new(&serve_once(answer).await).unwrap();
        let TunnelAnswer::Refused { head, body } = client.tunnel(None).await.unwrap() else {
            panic!("{answer}")
        };
        assert_eq!(head.status(), 403);
        assert_eq!(body.as_deref(), expected.map(str::as_bytes), "{answer}");
    }
}

#[tokio::test]
async fn a_reconnecting_client_tells_the_reason() {
    let url = serve_once("HTTP/1.1 401 X\r\nX-Why: expired\r\nContent-Length: 0\r\n\r\n").await;
    let mut client = Client::new(&url)
        .unwrap()
        .reconnect(Backoff::default())
        .start();
    let Some(ClientEvent::Down { reason, retry_in }) = client.next().await else {
        panic!("an attempt cannot succeed")
    };
    let DownReason::Connect(error) = reason else {
        panic!("{reason:?}")
    };
    assert_eq!(
        error.response().unwrap().header("x-why"),
        Some(&b"expired"[..])
    );
    assert_eq!(
        retry_in, None,
        "the same credentials would be refused again"
    );
}

#[cfg(all(feature = "http2", feature = "tls"))]
#[tokio::test]
async fn a_refusal_over_http2_has_its_headers_and_body_too() {
    use std::pin::Pin;

    use tidewire::ws::{AcceptFuture, Endpoint, Refusal, Request, Server};

    struct Refusing;

    impl Endpoint for Refusing {
        fn accept<'a>(&'a self, _request: &'a Request) -> AcceptFuture<'a> {
            let body = format!("{{\"why\":\"{}\"}}", "x".repeat(20_000));
            Refusal::new(401, "no")
                .header("WWW-Authenticate", "Bearer")
                .body("application/json", body)
                .into()
        }

        fn serve(
            &self,
            socket: WebSocket,
            _request: Request,
        ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            drop(socket);
            Box::pin(std::future::ready(()))
        }
    }

    let mut config = crate::server::config();
    config.http2 = true;
    let server = Server::new(config).route("/", Refusing).start().unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let client = Client::new(&url).unwrap().http2();
    let (response, text) = response(client.connect().await.unwrap_err());
    assert_eq!(response.status(), 401);
    assert_eq!(response.header("WWW-Authenticate"), Some(&b"Bearer"[..]));
    assert_eq!(response.body().len(), 16 << 10);
    assert!(!response.is_body_complete());
    assert!(
        text.starts_with("the server answered 401 Unauthorized"),
        "{text}"
    );
}

//! Smuggling through the upgrade. The gateway opens a tunnel only behind a valid 101, asks for
//! nothing but a WebSocket, and ends at itself what belongs to one connection.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tidewire::mux::{self, OpenError};
use tidewire_gateway::{
    Running,
    settings::{Endpoint, Rates},
    start,
};
use tokio::sync::mpsc;

use crate::{
    support::{endpoint, in_time, settings, telling, url},
    wire::{Fake, Wire, accept, field, frame, masked, switching, upgrade},
};

/// What must never reach a client.
const SECRET: &str = "inside";

/// An answer to the upgrade of a request with this head.
type Lie = fn(&str) -> String;

fn lie_101(without: &str, instead: &str, head: &str) -> String {
    let lines = switching(head);
    let lines = lines.trim_end().split("\r\n");
    let kept: Vec<&str> = lines.filter(|line| !line.starts_with(without)).collect();
    format!("{}\r\n{instead}\r\n", kept.join("\r\n"))
}

/// What it says, how, and the status that a client gets.
const LIES: &[(&str, Lie, u16)] = &[
    ("no accept", |head| lie_101("Sec-", "", head), 502),
    (
        "the accept value of another key",
        |head| {
            lie_101(
                "Sec-",
                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
                head,
            )
        },
        502,
    ),
    (
        "two accept values",
        |head| {
            lie_101(
                "none",
                &format!("Sec-WebSocket-Accept: {}\r\n", accept(head)),
                head,
            )
        },
        502,
    ),
    ("no upgrade", |head| lie_101("Upgrade", "", head), 502),
    (
        "another protocol",
        |head| lie_101("Upgrade", "Upgrade: h2c\r\n", head),
        502,
    ),
    ("no connection", |head| lie_101("Connection", "", head), 502),
    (
        "a subprotocol nobody has offered",
        |head| lie_101("none", "Sec-WebSocket-Protocol: root\r\n", head),
        502,
    ),
    (
        "HTTP/1.0",
        |head| switching(head).replace("HTTP/1.1", "HTTP/1.0"),
        502,
    ),
    (
        "a hint before",
        |head| format!("HTTP/1.1 103 Early Hints\r\n\r\n{}", switching(head)),
        502,
    ),
    (
        "a go-ahead before",
        |head| format!("HTTP/1.1 100 Continue\r\n\r\n{}", switching(head)),
        502,
    ),
    (
        "success",
        |head| switching(head).replace("101 Switching Protocols", "200 OK"),
        502,
    ),
    (
        "a page",
        |_| format!("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n{SECRET}"),
        502,
    ),
    (
        "nothing to say",
        |_| "HTTP/1.1 204 No Content\r\n\r\n".into(),
        502,
    ),
    (
        "a status that is none",
        |_| "HTTP/1.1 999 What\r\n\r\n".into(),
        502,
    ),
    (
        "line feeds alone",
        |head| format!("{}\r\n\r\n", switching(head).replace("\r\n", "\n")),
        502,
    ),
    (
        "no HTTP",
        |_| "\u{16}\u{3}\u{1}\0 no HTTP at all\r\n\r\n".into(),
        502,
    ),
    (
        "another version",
        |_| {
            "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8\r\nContent-Length: 0\r\n\r\n"
                .into()
        },
        426,
    ),
    (
        "forbidden",
        |_| "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".into(),
        403,
    ),
];

/// A backend that says what `lie` says now, then frames, whatever it is told.
fn liar() -> (Fake, Arc<Mutex<Lie>>) {
    let lie = Arc::new(Mutex::new(LIES[0].1));
    let now = Arc::clone(&lie);
    let fake = Fake::start(move |mut wire| {
        let lie = *now.lock().unwrap();
        async move {
            let head = wire.head().await;
            let mut answer = lie(&head).into_bytes();
            answer.extend(frame(0x81, SECRET));
            wire.write(answer).await;
            wire.rest().await;
        }
    });
    (fake, lie)
}

/// An endpoint for each way a backend is opened: as bytes, as messages.
fn endpoints(fake: &Fake) -> Vec<Endpoint> {
    let mut bytes = endpoint("bytes", &[fake.url()]);
    let mut messages = endpoint("messages", &[fake.url()]);
    messages.rates = Rates {
        messages_per_second: 1000,
        ..Rates::default()
    };
    for endpoint in [&mut bytes, &mut messages] {
        endpoint.ejection = None;
        endpoint.opening.retries = 0;
    }
    vec![bytes, messages]
}

#[tokio::test]
async fn no_answer_but_a_valid_101_opens_a_tunnel() {
    let (fake, lie) = liar();
    let gateway = start(settings(endpoints(&fake))).unwrap();
    in_time(async {
        let address = format!("ws://{}/", gateway.addresses()[0]);
        let mux = mux::connect(&address).await.unwrap();
        for (name, says, status) in LIES {
            *lie.lock().unwrap() = *says;
            for way in ["bytes", "messages"] {
                let mut client = Wire::to(&gateway).await;
                // Frames come at once, as from a client that smuggles requests to the backend.
                let mut request = upgrade("/", &format!("ROUTENAME: {way}\r\n")).into_bytes();
                request.extend(masked(0x81, "GET /admin HTTP/1.1\r\n\r\n"));
                client.write(request).await;
                let answer = String::from_utf8(client.rest().await).unwrap();
                let expected = format!("HTTP/1.1 {status} ");
                assert!(answer.starts_with(&expected), "{name}, {way}: {answer}");
                assert!(!answer.contains(SECRET), "{name}, {way}: {answer}");
            }
            let rejected = mux.endpoint("bytes").await.unwrap_err();
            assert!(
                matches!(rejected, OpenError::Rejected { status: got, .. } if got == *status),
                "{name}: {rejected:?}"
            );
        }
        assert_eq!(fake.visits(), 3 * LIES.len(), "each was really asked");
    })
    .await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let endless = Fake::start(|mut wire| async move {
        wire.head().await;
        wire.write("HTTP/1.1 101 Switching Protocols\r\n").await;
        let line = "X-More: and more, and more, and more\r\n";
        while tokio::io::AsyncWriteExt::write_all(&mut wire.stream, line.as_bytes())
            .await
            .is_ok()
        {}
    });
    let silent = Fake::start(|mut wire| async move {
        wire.head().await;
        wire.write("HTTP/1.1 101 Switching Pro").await;
        wire.rest().await;
    });
    let mut silent_endpoint = endpoint("silent", &[silent.url()]);
    silent_endpoint.opening.timeout = Duration::from_millis(50);
    let mut endless_endpoint = endpoint("endless", &[endless.url()]);
    endless_endpoint.opening.timeout = Duration::from_mins(10);
    let gateway = start(settings(vec![endless_endpoint, silent_endpoint])).unwrap();
    in_time(async {
        for (name, status) in [("endless", 502), ("silent", 504)] {
            let mut client = Wire::to(&gateway).await;
            let request = upgrade("/", &format!("ROUTENAME: {name}\r\n"));
            client.write(request).await;
            let answer = client.head().await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn frames_before_the_101_are_held_back_and_then_none_is_lost() {
    let (heads, mut asked) = mpsc::unbounded_channel::<Wire>();
    let fake = Fake::start(move |wire| {
        heads.send(wire).unwrap();
        async {}
    });
    let gateway = start(settings(endpoints(&fake))).unwrap();
    let early = |range: std::ops::Range<u32>| -> Vec<u8> {
        range
            .flat_map(|number| masked(0x82, number.to_be_bytes().repeat(50)))
            .collect()
    };
    in_time(async {
        for way in ["bytes", "messages"] {
            for valid in [false, true] {
                let mut client = Wire::to(&gateway).await;
                let mut first = upgrade("/", &format!("ROUTENAME: {way}\r\n")).into_bytes();
                first.extend(early(0..20));
                client.write(first).await;
                let mut backend = asked.recv().await.unwrap();
                let head = backend.head().await;
                // While the backend thinks, the client sends on.
                client.write(early(20..200)).await;
                assert_eq!(backend.buffer, b"", "{way}: before the 101");
                if !valid {
                    backend.write(lie_101("Sec-", "", &head)).await;
                    assert_eq!(backend.rest().await, b"", "{way}: without a valid 101");
                    let answer = client.head().await;
                    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
                    continue;
                }
                let mut byte = [0];
                let read = backend.stream.try_read(&mut byte);
                assert!(read.is_err(), "{way}: bytes before the 101");
                // The first frame comes with the head, in one write.
                let mut answer = switching(&head).into_bytes();
                answer.extend(frame(0x81, "welcome"));
                backend.write(answer).await;
                let answer = client.head().await;
                assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
                assert_eq!(client.text().await, "welcome");
                for number in 0..200_u32 {
                    let message = backend.message().await;
                    assert_eq!(message, number.to_be_bytes().repeat(50), "{way}");
                }
            }
        }
    })
    .await;
}

/// What a client asks for, besides the request line and Host, and the answer.
const ASKED: &[(&str, &str, &str)] = &[
    (
        "GET / HTTP/1.1",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 12\r\n",
        "426 ",
    ),
    (
        "GET / HTTP/1.1",
        "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        "426 ",
    ),
    (
        "GET / HTTP/1.1",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 12\r\n",
        "426 ",
    ),
    (
        "GET / HTTP/1.1",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13, 12\r\n",
        "426 ",
    ),
    (
        "GET / HTTP/1.1",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nTransfer-Encoding: chunked\r\n",
        "400 ",
    ),
    (
        "GET / HTTP/1.1",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nContent-Length: 30\r\n",
        "400 ",
    ),
    (
        "GET / HTTP/1.1",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\nContent-Length: 0\r\n",
        "400 ",
    ),
    (
        "GET / HTTP/1.1",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nHost: other\r\n",
        "400 ",
    ),
    (
        "GET / HTTP/1.1",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nX-A: b\r\n folded\r\n",
        "400 ",
    ),
    (
        "GET / HTTP/1.1",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nX-A : b\r\n",
        "400 ",
    ),
    (
        "GET / HTTP/1.1",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\nX-A: b\r\n",
        "400 ",
    ),
    (
        "POST / HTTP/1.1",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n",
        "405 ",
    ),
    (
        "GET / HTTP/1.0",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n",
        "400 ",
    ),
    (
        "GET / HTTP/1.1",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "4",
    ),
    ("GET / HTTP/1.1", "", "4"),
    ("CONNECT other:80 HTTP/1.1", "", "4"),
    ("PRI * HTTP/2.0", "", "4"),
];

#[tokio::test]
async fn what_is_no_clean_request_for_a_websocket_reaches_no_backend() {
    let fake = Fake::start(|_| async {});
    let gateway = start(settings(endpoints(&fake))).unwrap();
    in_time(async {
        for (line, fields, status) in ASKED {
            let mut client = Wire::to(&gateway).await;
            let request = format!(
                "{line}\r\nHost: gw.example\r\nROUTENAME: bytes\r\n\
                 Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{fields}\r\n"
            );
            client.write(request).await;
            let answer = client.head().await;
            let expected = format!("HTTP/1.1 {status}");
            assert!(answer.starts_with(&expected), "{line} {fields:?}: {answer}");
            if *status == "426 " {
                assert_eq!(field(&answer, "Sec-WebSocket-Version"), Some("13"));
            }
        }
        assert_eq!(fake.visits(), 0);
    })
    .await;
}

async fn told(gateway: &Running, fields: &str) -> String {
    let mut client = Wire::to(gateway).await;
    client.write(upgrade("/", fields)).await;
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    client.text().await
}

#[tokio::test]
async fn fields_of_one_connection_end_at_the_gateway() {
    let backend = telling();
    let gateway = start(settings(vec![endpoint("one", &[url(&backend, "/")])])).unwrap();
    in_time(async {
        let head = told(
            &gateway,
            "ROUTENAME: one\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nTE: trailers\r\nTrailer: X\r\n\
             Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\n\
             Connection: HTTP2-Settings, X-Mine, X_Also\r\nX-Mine: 1\r\nx_also: 2\r\nContent-Length: 0\r\nX-Kept: 3\r\n\
             Connection: X-Forwarded-For, X-Forwarded-Proto, Host\r\n",
        )
        .await;
        assert_eq!(field(&head, "X-Kept"), Some("3"));
        assert_eq!(field(&head, "Upgrade"), Some("websocket"));
        assert_eq!(field(&head, "Connection"), Some("Upgrade"));
        assert_eq!(field(&head, "X-Forwarded-For"), Some("127.0.0.1"), "not taken away by the client");
        assert_eq!(field(&head, "X-Forwarded-Proto"), Some("http"));
        assert_eq!(field(&head, "Host"), Some("gw.example"));
        for gone in [
            "HTTP2-Settings", "TE", "Trailer", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization",
            "X-Mine", "x_also", "Content-Length", "ROUTENAME",
        ] {
            assert_eq!(field(&head, gone), None, "{gone}: {head}");
        }
        for once in ["upgrade:", "connection:", "host:"] {
            let count = head.lines().filter(|line| line.to_lowercase().starts_with(once)).count();
            assert_eq!(count, 1, "{once} {head}");
        }
    })
    .await;
}

#[tokio::test]
async fn fields_of_the_backends_connection_end_at_the_gateway() {
    let fake = Fake::start(|mut wire| async move {
        let head = wire.head().await;
        let more = "Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nTrailer: X\r\nX-Kept: 2\r\nSet-Cookie: a=b\r\n\r\n";
        let answer = switching(&head).replace("\r\n\r\n", &format!("\r\n{more}"));
        wire.write(answer).await;
        wire.rest().await;
    });
    let gateway = start(settings(endpoints(&fake))).unwrap();
    in_time(async {
        let mut client = Wire::to(&gateway).await;
        client.write(upgrade("/", "ROUTENAME: bytes\r\n")).await;
        let answer = client.head().await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert_eq!(field(&answer, "X-Kept"), Some("2"));
        assert_eq!(field(&answer, "Set-Cookie"), Some("a=b"));
        for gone in ["X-Hop", "Keep-Alive", "Trailer"] {
            assert_eq!(field(&answer, gone), None, "{answer}");
        }
    })
    .await;
}

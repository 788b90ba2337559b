//! Answers of upstreams to the handshake, as clients get it: bytes relayed, or per hop.
//!
//! Of the kind "an answer of an older, odd or broken server" there are: HTTP/1.0 with and without reason phrase, folded
//! lines, line feeds alone, blanks before a colon; bodies with a length, chunked, up to the end, missing, cut,
//! too long, of bytes; interim answers before; redirects; several challenges and cookies; statuses without body; and what
//! is no answer: garbage, silence, an early end. Large heads on either side are another kind.

use std::sync::Arc;

use tidewire::mux::{self, OpenError};
use tidewire_gateway::{
    Running,
    settings::{Endpoint, Extensions},
    start,
};

use crate::{
    support::{endpoint, in_time, settings},
    wire::{Fake, Wire, field, frame, switching, upgrade},
};

/// A backend that answers every request with what `answer` makes of its head, and ends then if it is told so.
fn answering(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static, ends: bool) -> Fake {
    let answer = Arc::new(answer);
    Fake::start(move |mut wire| {
        let answer = Arc::clone(&answer);
        async move {
            let head = wire.head().await;
            if head.is_empty() {
                return;
            }
            wire.write(answer(&head)).await;
            if !ends {
                wire.rest().await;
            }
        }
    })
}

fn saying(answer: &str, ends: bool) -> Fake {
    let answer = answer.as_bytes().to_vec();
    answering(move |_head| answer.clone(), ends)
}

fn gateway(fake: &Fake, extensions: Extensions) -> Running {
    start(settings(vec![Endpoint {
        extensions,
        ..endpoint("one", &[fake.url()])
    }]))
    .unwrap()
}

/// All bytes of the answer to a request for the endpoint.
async fn ask(gateway: &Running, fields: &str) -> String {
    let mut client = Wire::to(gateway).await;
    client.write(upgrade("/?ROUTENAME=one", fields)).await;
    let answer = client.rest().await;
    String::from_utf8_lossy(&answer).into_owned()
}

const WAYS: [Extensions; 2] = [Extensions::EndToEnd, Extensions::PerHop];

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn a_refusal_in_any_form_reaches_the_client_as_it_was_meant() {
    let long = "x".repeat(60_000);
    let long_answer = format!("HTTP/1.1 404 Not Found\r\nContent-Type: a/b\r\n\r\n{long}");
    let all: &[(&str, u16, &[&str], &str)] = &[
        // python -m http.server
        (
            "HTTP/1.0 404 File not found\r\nServer: SimpleHTTP/0.6\r\nConnection: close\r\n\
             Content-Type: text/html;charset=utf-8\r\nContent-Length: 4\r\n\r\npage",
            404,
            &[
                "Content-Type: text/html;charset=utf-8",
                "Server: SimpleHTTP/0.6",
            ],
            "page",
        ),
        ("HTTP/1.0 404\r\n\r\n", 404, &["Content-Length: 0"], ""),
        (
            "HTTP/1.1 404\r\nA: 1\r\n\r\nto the end",
            404,
            &["A: 1"],
            "to the end",
        ),
        (
            "HTTP/1.1 403 No\nA: 1\nContent-Length: 2\n\nno, and more",
            403,
            &["A: 1"],
            "no",
        ),
        (
            "HTTP/1.1 403 No\r\nA: 1,\r\n 2\r\nB : 3\r\n\r\n",
            403,
            &["A: 1,   2", "B: 3"],
            "",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: https://a.example/b?c\r\nContent-Length: 0\r\n\r\n",
            302,
            &["Location: https://a.example/b?c"],
            "",
        ),
        (
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a\"\r\n\
             WWW-Authenticate: Bearer\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n",
            401,
            &[
                "WWW-Authenticate: Basic realm=\"a\"",
                "WWW-Authenticate: Bearer",
                "Set-Cookie: a=1; Path=/",
                "Set-Cookie: b=2",
                "Content-Type: application/json",
            ],
            "{\"a\":1}",
        ),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
             HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 1\r\n\r\n!",
            429,
            &["Retry-After: 7"],
            "!",
        ),
        (
            "HTTP/1.1 304 Same\r\nETag: \"1\"\r\nContent-Length: 9\r\n\r\n",
            304,
            &["ETag: \"1\""],
            "",
        ),
        (
            "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\noh",
            500,
            &[],
            "oh",
        ),
        (&long_answer, 404, &["Content-Type: a/b"], &long),
    ];
    in_time(async {
        for (answer, status, fields, body) in all {
            for way in WAYS {
                let fake = saying(answer, true);
                let got = ask(&gateway(&fake, way), "").await;
                let (head, got_body) = got.split_once("\r\n\r\n").unwrap();
                assert!(
                    head.starts_with(&format!("HTTP/1.1 {status} ")),
                    "{way:?} {answer}: {got}"
                );
                for line in *fields {
                    let found = head.lines().filter(|other| other == line).count();
                    assert_eq!(found, 1, "{way:?} {line}: {head}");
                }
                assert_eq!(got_body, *body, "{way:?} {answer}");
                assert_eq!(fake.visits(), 1, "a refusal is not tried again");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_body_that_cannot_be_passed_on_status_and_fields_are() {
    let too_long = format!(
        "HTTP/1.1 403 No\r\nA: 1\r\nETag: 1\r\n\r\n{}",
        "x".repeat(70_000)
    );
    in_time(async {
        for answer in [
            "HTTP/1.1 403 No\r\nA: 1\r\nETag: 1\r\nContent-Length: 10\r\n\r\nhalf",
            "HTTP/1.1 403 No\r\nA: 1\r\nETag: 1\r\nContent-Length: ten\r\n\r\nhalf",
            "HTTP/1.1 403 No\r\nA: 1\r\nETag: 1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            &too_long,
        ] {
            for way in WAYS {
                let fake = saying(answer, true);
                let got = ask(&gateway(&fake, way), "").await;
                let (head, body) = got.split_once("\r\n\r\n").unwrap();
                assert!(head.starts_with("HTTP/1.1 403 "), "{got}");
                assert_eq!((field(head, "a"), field(head, "etag")), (Some("1"), None));
                assert_eq!(body, "the backend answered with status 403\n");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_whose_body_never_ends_is_told_in_time() {
    let fake = saying("HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\nhalf", false);
    let mut one = endpoint("one", &[fake.url()]);
    one.opening.timeout = std::time::Duration::from_millis(200);
    let gateway = start(settings(vec![one])).unwrap();
    let got = in_time(ask(&gateway, "")).await;
    assert!(got.starts_with("HTTP/1.1 403 "), "{got}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_refusal_and_no_websocket_is_a_bad_gateway() {
    in_time(async {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 999 Else\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "HTTP/1.0 101 Switching Protocols\r\n\r\n",
            "SSH-2.0-OpenSSH_9.6\r\n",
            "\u{15}\u{3}\u{3}",
            "",
        ] {
            for way in WAYS {
                let fake = saying(answer, true);
                let got = ask(&gateway(&fake, way), "").await;
                assert!(got.starts_with("HTTP/1.1 502 "), "{answer:?}: {got}");
                assert!(!got.contains("page"), "{got}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_and_fields_of_the_101_reach_the_client() {
    let fake = answering(
        |head| {
            let more = "\r\nSet-Cookie: sid=1; HttpOnly\r\nSet-Cookie: b=2\r\nX-Node: 7\r\n\
                        Keep-Alive: timeout=5\r\nConnection: X-Hop\r\nX-Hop: 1\r\nTidewire-Confirm: no\r\n\r\n";
            let answer = switching(head);
            [answer.strip_suffix("\r\n\r\n").unwrap(), more]
                .concat()
                .into()
        },
        false,
    );
    in_time(async {
        for way in WAYS {
            let gateway = gateway(&fake, way);
            let mut client = Wire::to(&gateway).await;
            client.write(upgrade("/?ROUTENAME=one", "")).await;
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            for line in [
                "Set-Cookie: sid=1; HttpOnly",
                "Set-Cookie: b=2",
                "X-Node: 7",
            ] {
                assert_eq!(
                    head.lines().filter(|other| *other == line).count(),
                    1,
                    "{way:?} {head}"
                );
            }
            for name in ["keep-alive", "x-hop"] {
                assert_eq!(field(&head, name), None, "{way:?} {head}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_many_sockets_hear_the_status() {
    let fake = saying("HTTP/1.0 403 No\r\n\r\nno", true);
    let gateway = gateway(&fake, Extensions::EndToEnd);
    in_time(async {
        let client = mux::connect(&format!("ws://{}/", gateway.addresses()[0]))
            .await
            .unwrap();
        let refused = client.endpoint("one").await.unwrap_err();
        assert!(
            matches!(refused, OpenError::Rejected { status: 403, .. }),
            "{refused:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_heads_pass_on_both_sides_up_to_limits_that_can_be_set() {
    let fake = answering(
        |head| {
            let cookie = format!("\r\nSet-Cookie: got={}\r\n", head.len());
            let fields = "X-Field: 1\r\n".repeat(90);
            let large = format!("X-Large: {}\r\n\r\n", "x".repeat(20_000));
            let answer = switching(head);
            let answer = answer.strip_suffix("\r\n\r\n").unwrap();
            [answer, &cookie, &fields, &large].concat().into()
        },
        false,
    );
    let mut tight = settings(vec![endpoint("one", &[fake.url()])]);
    tight.limits.head.bytes_max = 8 << 10;
    let tight = start(tight).unwrap();
    let mut deaf = endpoint("one", &[fake.url()]);
    deaf.opening.head_bytes_max = 8 << 10;
    deaf.opening.retries = 0;
    let deaf = start(settings(vec![deaf])).unwrap();
    let cookie = format!(
        "Cookie: a={}\r\n{}",
        "x".repeat(20_000),
        "X-Field: 1\r\n".repeat(75)
    );
    in_time(async {
        for way in WAYS {
            let gateway = gateway(&fake, way);
            let mut client = Wire::to(&gateway).await;
            client.write(upgrade("/?ROUTENAME=one", &cookie)).await;
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            assert!(
                field(&head, "set-cookie").is_some_and(|value| value.len() > "got=20000".len() - 1)
            );
            assert_eq!(field(&head, "x-large").map(str::len), Some(20_000));
        }
        let refused = ask(&tight, &cookie).await;
        assert!(refused.starts_with("HTTP/1.1 431 "), "{refused}");
        // However often: it is not the upstream's fault.
        for _ in 0..10 {
            let refused = ask(&deaf, "").await;
            assert!(refused.starts_with("HTTP/1.1 502 "), "{refused}");
        }
        let mut client = Wire::to(&tight).await;
        client.write(upgrade("/?ROUTENAME=one", "")).await;
        assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_the_client_has_not_offered_is_not_passed_on() {
    let fake = answering(
        |head| {
            let chosen = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
            let answer = switching(head);
            let answer = answer.strip_suffix("\r\n\r\n").unwrap();
            [answer.as_bytes(), chosen.as_bytes(), &frame(0x81, "hello")].concat()
        },
        false,
    );
    let gateway = gateway(&fake, Extensions::EndToEnd);
    in_time(async {
        let offers = |offer: &str| format!("Sec-WebSocket-Extensions: {offer}\r\n");
        for (fields, status) in [
            (String::new(), "502"),
            (offers("x-other"), "502"),
            (offers("x-permessage-deflate, permessage-deflatex"), "502"),
            (offers("permessage-deflate"), "101"),
            (
                offers("x-other, permessage-deflate; client_max_window_bits"),
                "101",
            ),
        ] {
            for _ in 0..6 {
                let mut client = Wire::to(&gateway).await;
                client.write(upgrade("/?ROUTENAME=one", &fields)).await;
                let head = client.head().await;
                assert_eq!(head.get(9..12), Some(status), "{fields}: {head}");
                assert_eq!(
                    field(&head, "sec-websocket-extensions").is_some(),
                    status == "101"
                );
            }
        }
    })
    .await;
}

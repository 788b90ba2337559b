//! Requests that try to choose their backend. Where a connection goes is named by the
//! configuration; no address in a request counts.

use tidewire::mux::{self, OpenError};
use tidewire_gateway::{
    Running,
    settings::{Condition, Pattern, Route, Settings, Source},
    start,
};
use tidewire_proto::mux::{Body, Frame, Open};

use crate::{
    support::{endpoint, in_time, settings, telling, url},
    wire::{Fake, Wire, field, masked, upgrade},
};

/// A server that nobody shall be sent to.
fn victim() -> Fake {
    Fake::start(|_| async {})
}

/// One endpoint behind a name, and behind `/app` with the rest of the path.
fn routed(own: &str) -> Settings {
    let mut settings = settings(vec![endpoint("one", &[own.to_owned()])]);
    settings.routes.push(Route {
        endpoint: "one".into(),
        conditions: vec![Condition {
            source: Source::Path,
            pattern: Pattern::parse("re:/app.*").unwrap(),
        }],
        strip_prefix: Some("/app".into()),
        keep_path: false,
        by_name: false,
    });
    settings.classic.enabled = false;
    settings
}

/// The status of the answer, and the head that the backend got.
async fn ask(gateway: &Running, request: String) -> (String, Option<String>) {
    let mut client = Wire::to(gateway).await;
    client.write(request).await;
    let answer = client.head().await;
    let status = answer.get(9..12).unwrap_or_default().to_owned();
    let head = match &*status {
        "101" => Some(client.text().await),
        _ => None,
    };
    (status, head)
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn the_upstream_is_the_configured_one_whatever_the_request_line_says() {
    let victim = victim();
    let evil = victim.address.to_string();
    let backend = telling();
    let gateway = start(routed(&url(&backend, "/own"))).unwrap();
    let own = backend.local_addr().to_string();
    in_time(async {
        // Targets, the Host field, and what the backend is asked for: `None` for 400.
        for (target, host, expected) in [
            (format!("http://{evil}/app/x"), "gw.example", None),
            (format!("http://{evil}/app/x"), &*evil, Some("/own/x")),
            (format!("ws://{evil}/app/x"), &*evil, Some("/own/x")),
            (
                format!("http://gw.example@{evil}/app/x"),
                "gw.example",
                None,
            ),
            (format!("http://user:pw@{evil}/app/x"), &*evil, None),
            (format!("/app//{evil}/x"), "gw.example", Some("EVIL")),
            (format!("/app/http://{evil}/x"), "gw.example", Some("EVIL")),
            (format!("/app@{evil}/x"), "gw.example", Some("EVIL")),
            ("/app".into(), "gw.example", Some("/own/")),
            ("/app?x=//y".into(), "gw.example", Some("/own/?x=//y")),
            (
                "/app/%0d%0aX-Evil:%201".into(),
                "gw.example",
                Some("/own/%0d%0aX-Evil:%201"),
            ),
            (
                "/app/x?%0d%0aX-Evil:%201".into(),
                "gw.example",
                Some("/own/x?%0d%0aX-Evil:%201"),
            ),
            ("/app/../x".into(), "gw.example", None),
            ("/app/..".into(), "gw.example", None),
            ("/app..".into(), "gw.example", None),
            ("/app/%2e%2e/x".into(), "gw.example", None),
            ("/app/..%2fx".into(), "gw.example", None),
            ("/app/..%5cx".into(), "gw.example", None),
            ("/app/..\\x".into(), "gw.example", None),
            ("/app/..;/x".into(), "gw.example", None),
            ("/app/x\rX-Evil: 1".into(), "gw.example", None),
            ("/app/x\nX-Evil: 1".into(), "gw.example", None),
            ("/app/x\tHTTP/1.1".into(), "gw.example", None),
            ("/app/x HTTP/1.1".into(), "gw.example", None),
            ("/app/\0".into(), "gw.example", None),
            ("/app/\u{7f}".into(), "gw.example", None),
        ] {
            let request =
                upgrade(&target, "").replace("gw.example\r\nUp", &format!("{host}\r\nUp"));
            let (status, head) = ask(&gateway, request).await;
            let Some(expected) = expected else {
                assert_eq!(status, "400", "{target:?}");
                continue;
            };
            let head = head.unwrap_or_else(|| panic!("{target}: {status}"));
            let line = head.lines().next().unwrap();
            let expected = match expected {
                "EVIL" => format!("/own/{}", target["/app".len()..].trim_start_matches('/')),
                expected => expected.to_owned(),
            };
            assert_eq!(line, format!("GET {expected} HTTP/1.1"));
            assert_eq!(field(&head, "X-Evil"), None, "{head}");
        }
        // `//host/path` is a path like any other: it is on no route.
        for target in [
            format!("//{evil}/app/x"),
            "*".into(),
            "app/x".into(),
            "//".into(),
        ] {
            let (status, _) = ask(&gateway, upgrade(&target, "")).await;
            assert!(matches!(&*status, "400" | "404"), "{target}: {status}");
        }
        assert_eq!(victim.visits(), 0);
        assert_ne!(evil, own);
    })
    .await;
}

#[tokio::test]
async fn a_route_name_is_a_name_and_never_an_address() {
    let victim = victim();
    let evil = victim.address.to_string();
    let backend = telling();
    let gateway = start(routed(&url(&backend, "/own"))).unwrap();
    in_time(async {
        let names = [
            format!("ws://{evil}/"),
            format!("http://{evil}/"),
            format!("//{evil}"),
            evil.clone(),
            format!("one@{evil}"),
            format!("one.{evil}"),
            "../one".into(),
            "one/".into(),
            "one\t".into(),
            String::new(),
        ];
        for name in &names {
            let (by_header, _) =
                ask(&gateway, upgrade("/", &format!("ROUTENAME: {name}\r\n"))).await;
            // Blanks around a value are none of it.
            let expected = if name.trim() == "one" { "101" } else { "404" };
            assert_eq!(by_header, expected, "{name:?}");
            let encoded = name.replace('/', "%2f").replace('\t', "%09");
            let (by_query, _) = ask(&gateway, upgrade(&format!("/?ROUTENAME={encoded}"), "")).await;
            assert_eq!(by_query, "404", "{name:?}");
        }
        for encoded in ["one%0d%0aHost:%20evil", "one%00", "one%0a", "%6fne%20"] {
            let (by_query, _) = ask(&gateway, upgrade(&format!("/?ROUTENAME={encoded}"), "")).await;
            assert_eq!(by_query, "404", "{encoded}");
        }
        let (twice, _) = ask(&gateway, upgrade("/?ROUTENAME=one&ROUTENAME=one", "")).await;
        assert_eq!(twice, "400", "two names are none");
        let (twice, _) = ask(
            &gateway,
            upgrade("/", "ROUTENAME: one\r\nROUTENAME: two\r\n"),
        )
        .await;
        assert_eq!(twice, "400", "two names are none");
        let (encoded, head) = ask(&gateway, upgrade("/?a=1&ROUTENAM%45=%6fne&b=%0d%0a", "")).await;
        assert_eq!(encoded, "101");
        assert!(
            head.unwrap()
                .starts_with("GET /own?a=1&b=%0d%0a HTTP/1.1\r\n")
        );
        assert_eq!(victim.visits(), 0);
    })
    .await;
}

/// An OPEN of these fields, valid or not.
fn open_frame(name: &str, query: &[u8], subprotocols: &[&str]) -> Vec<u8> {
    let mut out = vec![1, 0, 0, 0, 1, 0, 1, 0, 0];
    out.push(u8::try_from(name.len()).unwrap());
    out.extend(name.as_bytes());
    out.extend(u16::try_from(query.len()).unwrap().to_be_bytes());
    out.extend(query);
    out.push(u8::try_from(subprotocols.len()).unwrap());
    for subprotocol in subprotocols {
        out.push(u8::try_from(subprotocol.len()).unwrap());
        out.extend(subprotocol.as_bytes());
    }
    out
}

#[tokio::test]
async fn nothing_is_injected_by_query_or_subprotocol_of_open() {
    let backend = telling();
    let gateway = start(routed(&url(&backend, "/own?own=1"))).unwrap();
    in_time(async {
        let made = Frame {
            stream: 1,
            body: Body::Open(Open {
                credit: 65_536,
                name: "one",
                query: "a=1",
                subprotocols: vec!["b"],
            }),
        };
        assert_eq!(made.encode().unwrap(), open_frame("one", b"a=1", &["b"]));
        let bad: &[(&[u8], &[&str])] = &[
            (b"a HTTP/1.1\r\nX-Evil: 1", &[]),
            (b"a\r\n", &[]),
            (b"a\n", &[]),
            (b"a\t", &[]),
            (b"a b", &[]),
            (b"a#b", &[]),
            (b"a\0", &[]),
            (b"\xff", &[]),
            ("é".as_bytes(), &[]),
            (b"", &["a, b"]),
            (b"", &["a\r\nX-Evil: 1"]),
            (b"", &["a b"]),
            (b"", &[""]),
            (b"", &["é"]),
            (b"", &["a\0"]),
        ];
        for (query, subprotocols) in bad {
            let mut client =
                Wire::open(&gateway, "/", "Sec-WebSocket-Protocol: tidewire.mux.v1\r\n").await;
            client
                .write(masked(0x82, open_frame("one", query, subprotocols)))
                .await;
            let close = client.frame().await.unwrap();
            assert_eq!(close.first, 0x88, "{query:?} {subprotocols:?}: {close:?}");
            assert_eq!(close.payload[..2], 1002_u16.to_be_bytes());
            let reason = String::from_utf8(close.payload[2..].to_vec()).unwrap();
            assert!(reason.starts_with("expected "), "{reason}");
        }
        let client = mux::connect(&format!("ws://{}/", gateway.addresses()[0]))
            .await
            .unwrap();
        for query in [
            "//evil/",
            "?",
            "/../x",
            "@evil:80/",
            "ROUTENAME=two",
            "%0d%0a",
        ] {
            let mut socket = client.endpoint("one").query(query).await.unwrap();
            let head = socket.recv().await.unwrap().unwrap();
            let line = head.as_text().unwrap().lines().next().unwrap().to_owned();
            assert_eq!(line, format!("GET /own?own=1&{query} HTTP/1.1"));
        }
        for name in ["ws://evil/", "../one", "one\r\n", "one\0"] {
            let unknown = client.endpoint(name).await.unwrap_err();
            assert!(
                matches!(unknown, OpenError::Rejected { status: 404, .. }),
                "{unknown:?}"
            );
        }
    })
    .await;
}

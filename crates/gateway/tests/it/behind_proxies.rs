//! A gateway behind HTTP proxies that it trusts, and probes of balancers.
//!
//! The forms of forwarded fields are tested where they are read, in `tidewire_proto::proxy`; here stands what they
//! do: limits per address (WebSockets over HTTP/1.1; connections of one proxy at a time, of two proxies in a row), the
//! origin of pages, what backends are told. Origins: other pages, pages of the host with another scheme or port.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use tidewire_access::Gate;
use tidewire_auth::{AuthConfig, NoLookup};
use tidewire_gateway::{
    Running,
    settings::{AccessLog, Condition, Origins, Pattern, Route, Settings, Source},
    start,
};

use crate::{
    support::{endpoint, in_time, settings, telling, url},
    wire::{Fake, Wire, field, upgrade},
};

fn trusting(mut settings: Settings) -> Settings {
    settings.listeners[0].trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    settings
}

/// The answer to an upgrade with these fields, and the connection.
async fn ask(gateway: &Running, path: &str, fields: &str) -> (Wire, String) {
    let mut client = Wire::to(gateway).await;
    client.write(upgrade(path, fields)).await;
    let answer = client.head().await;
    (client, answer)
}

async fn status(gateway: &Running, path: &str, fields: &str) -> String {
    let (_client, answer) = ask(gateway, path, fields).await;
    answer[9..12].to_owned()
}

#[tokio::test]
async fn clients_of_a_trusted_proxy_are_counted_by_their_own_addresses() {
    let backend = telling();
    let mut settings = settings(vec![endpoint("one", &[url(&backend, "/")])]);
    settings.limits.per_ip_max = 3;
    let gateway = start(trusting(settings)).unwrap();
    in_time(async {
        let mut open = Vec::new();
        let field = |line: &str| format!("ROUTENAME: one\r\n{line}\r\n");
        for last in 1..=5 {
            let fields = field(&format!("X-Forwarded-For: 203.0.113.{last}"));
            let (client, answer) = ask(&gateway, "/", &fields).await;
            assert!(answer.starts_with("HTTP/1.1 101 "), "{last}: {answer}");
            open.push(client);
        }
        // However the address is told, and whatever the client says besides.
        for line in [
            "Forwarded: for=203.0.113.1;proto=https",
            "X-Forwarded-For: 6.6.6.6, 203.0.113.1, 127.0.0.2",
        ] {
            let (client, answer) = ask(&gateway, "/", &field(line)).await;
            assert!(answer.starts_with("HTTP/1.1 101 "), "{line}: {answer}");
            open.push(client);
        }
        for line in [
            "X-Forwarded-For: 203.0.113.1",
            "X-Forwarded-For: 9.9.9.9, [::ffff:203.0.113.1]:80",
            "X-Real-IP: 203.0.113.1",
        ] {
            let (_client, answer) = ask(&gateway, "/", &field(line)).await;
            assert!(answer.starts_with("HTTP/1.1 503 "), "{line}: {answer}");
            let told: u64 = field_of(&answer, "Retry-After").parse().unwrap();
            assert!((1..=10).contains(&told), "{told}");
        }
        // A proxy that tells nobody is not counted itself.
        for _ in 0..5 {
            let (client, answer) = ask(&gateway, "/", "ROUTENAME: one\r\n").await;
            assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
            open.push(client);
        }
        drop(open);
        while status(&gateway, "/", &field("X-Real-IP: 203.0.113.1")).await != "101" {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn field_of(answer: &str, name: &str) -> String {
    field(answer, name).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn pages_are_of_the_gateways_origin_as_the_outermost_proxy_tells_it() {
    let backend = telling();
    let gateway = start(trusting(settings(vec![endpoint(
        "one",
        &[url(&backend, "/")],
    )])))
    .unwrap();
    let direct = start(settings(vec![endpoint("one", &[url(&backend, "/")])])).unwrap();
    in_time(async {
        // The host of `upgrade` is gw.example.
        for (origin, told, expected) in [
            ("https://gw.example", "X-Forwarded-Proto: https", "101"),
            ("https://gw.example", "X-Forwarded-Proto: https,http", "101"),
            (
                "https://gw.example",
                "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http",
                "101",
            ),
            (
                "https://gw.example",
                "Forwarded: for=203.0.113.9;proto=https",
                "101",
            ),
            ("https://gw.example", "X-Forwarded-Ssl: on", "101"),
            ("https://gw.example", "Front-End-Https: on", "101"),
            (
                "https://chat.example",
                "X-Forwarded-Proto: https\r\nX-Forwarded-Host: chat.example",
                "101",
            ),
            ("http://gw.example:8080", "X-Forwarded-Port: 8080", "101"),
            ("http://gw.example", "X-Forwarded-Proto: https", "403"),
            ("https://gw.example", "X-Forwarded-Proto: http,https", "403"),
            ("https://evil.example", "X-Forwarded-Proto: https", "403"),
        ] {
            let fields = format!("ROUTENAME: one\r\nOrigin: {origin}\r\n{told}\r\n");
            assert_eq!(
                status(&gateway, "/", &fields).await,
                expected,
                "{origin} {told}"
            );
            let direct = status(&direct, "/", &fields).await;
            let expected = if origin == "http://gw.example" {
                "101"
            } else {
                "403"
            };
            assert_eq!(direct, expected, "not believed: {origin} {told}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_list_of_origins_is_of_further_ones_and_a_refused_page_learns_the_key() {
    let backend = telling();
    let mut one = endpoint("one", &[url(&backend, "/")]);
    let listed = [
        "http://localhost:*",
        "https://*.example.org",
        "null",
        "capacitor://localhost",
    ];
    one.origins = Origins::List(Arc::from(listed.map(str::to_owned)));
    let gateway = start(settings(vec![one])).unwrap();
    in_time(async {
        for (origin, expected) in [
            ("http://localhost:5173", "101"),
            ("https://a.b.example.org", "101"),
            ("null", "101"),
            ("capacitor://localhost", "101"),
            ("http://gw.example", "101"),
            ("https://example.org", "403"),
            ("file://", "403"),
        ] {
            let fields = format!("ROUTENAME: one\r\nOrigin: {origin}\r\n");
            assert_eq!(status(&gateway, "/", &fields).await, expected, "{origin}");
        }
        let (mut client, _head) = ask(&gateway, "/", "ROUTENAME: one\r\nOrigin: file://\r\n").await;
        let text = String::from_utf8(client.rest().await).unwrap();
        assert!(text.contains("endpoints.one.origins"), "{text}");
        let fields = "ROUTENAME: one\r\nOrigin: https://gw.example\r\n";
        let (mut client, _head) = ask(&gateway, "/", fields).await;
        let text = String::from_utf8(client.rest().await).unwrap();
        assert!(text.contains("trusted_proxies"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_backend_hears_of_the_client_whichever_field_has_told_it() {
    let backend = telling();
    let gateway = start(trusting(settings(vec![endpoint(
        "one",
        &[url(&backend, "/")],
    )])))
    .unwrap();
    let told = async |gateway: &Running, fields: &str| {
        let fields = format!("ROUTENAME: one\r\n{fields}\r\n");
        Wire::open(gateway, "/", &fields).await.text().await
    };
    in_time(async {
        let head = told(
            &gateway,
            "Forwarded: for=203.0.113.9;proto=https;host=a.example",
        )
        .await;
        assert_eq!(
            field(&head, "X-Forwarded-For"),
            Some("203.0.113.9, 127.0.0.1")
        );
        assert_eq!(field(&head, "X-Forwarded-Proto"), Some("https"));
        assert_eq!(field(&head, "X-Forwarded-Host"), Some("a.example"));
        let mut standard = trusting(settings(vec![endpoint("one", &[url(&backend, "/")])]));
        standard.listeners[0].forwarded_by = tidewire::ws::ForwardedBy::Forwarded;
        let standard = start(standard).unwrap();
        let fields = "X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=203.0.113.9";
        let head = told(&standard, fields).await;
        assert_eq!(
            field(&head, "X-Forwarded-For"),
            Some("203.0.113.9, 127.0.0.1")
        );
        assert!(!head.contains("6.6.6.6"), "{head}");
    })
    .await;
}

/// Names that programs take a client's address from, besides those of proxies in use.
const ALSO_TELL_CLIENT: [&str; 10] = [
    "Proxy",
    "Proxy-Client-IP",
    "WL-Proxy-Client-IP",
    "HTTP_CLIENT_IP",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED",
    "REMOTE_ADDR",
    "X-Vercel-Forwarded-For",
    "Ali-CDN-Real-IP",
    "Front-End-Https",
];

#[tokio::test]
async fn what_programs_take_for_an_address_comes_from_trusted_proxies_only() {
    let backend = telling();
    let direct = start(settings(vec![endpoint("one", &[url(&backend, "/")])])).unwrap();
    let gateway = start(trusting(settings(vec![endpoint(
        "one",
        &[url(&backend, "/")],
    )])))
    .unwrap();
    in_time(async {
        for name in ALSO_TELL_CLIENT {
            let fields = format!("ROUTENAME: one\r\n{name}: 6.6.6.6\r\nX-Skip: kept\r\n");
            let head = Wire::open(&direct, "/", &fields).await.text().await;
            assert!(!head.contains("6.6.6.6"), "{name}: {head}");
            assert_eq!(field(&head, "X-Skip"), Some("kept"));
            let head = Wire::open(&gateway, "/", &fields).await.text().await;
            // No proxy spells it so, but for those that write variables of CGI.
            let passes = !name.contains('_') || name.starts_with("HTTP_");
            assert_eq!(head.contains("6.6.6.6"), passes, "{name}: {head}");
        }
    })
    .await;
}

async fn plain(gateway: &Running, request: &str) -> String {
    let mut client = Wire::to(gateway).await;
    client.write(request).await;
    String::from_utf8(client.rest().await).unwrap()
}

#[tokio::test]
async fn probes_of_balancers_find_the_gateways_own_port_healthy() {
    let backend = telling();
    let gateway = start(settings(vec![endpoint("one", &[url(&backend, "/")])])).unwrap();
    in_time(async {
        for request in [
            "GET /healthz HTTP/1.1\r\nHost: gw\r\n\r\n",
            "GET /healthz?from=balancer HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n",
            "GET /healthz HTTP/1.0\r\n\r\n",
            "HEAD /healthz HTTP/1.0\r\n\r\n",
            "OPTIONS /healthz HTTP/1.0\r\n\r\n",
        ] {
            let answer = plain(&gateway, request).await;
            assert!(
                answer.starts_with("HTTP/1.1 200 OK\r\n"),
                "{request}: {answer}"
            );
            assert_eq!(
                answer.ends_with("\r\n\r\nok\n"),
                !request.starts_with("HEAD"),
                "{answer}"
            );
        }
        for request in [
            "GET /healthz/ HTTP/1.1\r\nHost: gw\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: gw\r\n\r\n",
            "POST /healthz HTTP/1.1\r\nHost: gw\r\nContent-Length: 0\r\n\r\n",
        ] {
            let answer = plain(&gateway, request).await;
            assert!(answer.starts_with("HTTP/1.1 426 "), "{request}: {answer}");
        }
        let mut off = settings(vec![endpoint("one", &[url(&backend, "/")])]);
        off.health_path = None;
        let off = start(off).unwrap();
        let answer = plain(&off, "GET /healthz HTTP/1.1\r\nHost: gw\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    })
    .await;
}

fn route(endpoint: &str, conditions: &[(Source, &str)]) -> Route {
    Route {
        endpoint: endpoint.to_owned(),
        conditions: conditions
            .iter()
            .map(|(source, pattern)| Condition {
                source: source.clone(),
                pattern: Pattern::parse(pattern).unwrap(),
            })
            .collect(),
        strip_prefix: None,
        keep_path: false,
        by_name: false,
    }
}

#[tokio::test]
async fn a_path_that_no_route_takes_is_not_found_where_routes_say_which_there_are() {
    let backend = telling();
    let routed = || {
        let mut settings = settings(vec![endpoint("chat", &[url(&backend, "/own")])]);
        settings.routes = vec![route("chat", &[(Source::Path, "/chat/*")])];
        settings
    };
    in_time(async {
        let gateway = start(routed()).unwrap();
        for (path, expected) in [
            ("/chat/a", "101"),
            ("/chat", "404"),
            ("/nope", "404"),
            ("/chats/a", "404"),
            ("//", "404"),
            // The address without a path speaks SMHandshake, and any path does for who names an endpoint.
            ("/", "101"),
            ("/nope?ROUTENAME=chat", "101"),
        ] {
            assert_eq!(status(&gateway, path, "").await, expected, "{path}");
        }
        let mut classic = routed();
        classic.classic.paths = vec!["/nope".to_owned()];
        let classic = start(classic).unwrap();
        assert_eq!(status(&classic, "/nope", "").await, "101");
        assert_eq!(status(&classic, "/", "").await, "404");
        let mut unrouted = routed();
        unrouted.routes.clear();
        let unrouted = start(unrouted).unwrap();
        assert_eq!(status(&unrouted, "/nope", "").await, "101");
    })
    .await;
}

#[tokio::test]
async fn the_upstream_gets_the_path_that_the_route_says() {
    let backend = telling();
    let mut settings = settings(vec![endpoint("ocpp", &[url(&backend, "/ocpp/")])]);
    let mut own = route("ocpp", &[(Source::Path, "/own/*")]);
    own.strip_prefix = None;
    let mut rest = route("ocpp", &[(Source::Path, "/charge/*")]);
    rest.strip_prefix = Some("/charge/".to_owned());
    let mut whole = route("ocpp", &[(Source::Path, "/ocpp/*")]);
    whole.keep_path = true;
    settings.routes = vec![own, rest, whole];
    let gateway = start(settings).unwrap();
    in_time(async {
        for (asked, expected) in [
            ("/own/CP001", "/ocpp/"),
            ("/charge/CP001?a=1", "/ocpp/CP001?a=1"),
            ("/charge/de%2Fep/CP001", "/ocpp/de%2Fep/CP001"),
            ("/ocpp/CP001?a=1", "/ocpp/CP001?a=1"),
        ] {
            let head = Wire::open(&gateway, asked, "").await.text().await;
            let line = format!("GET {expected} HTTP/1.1\r\n");
            assert!(head.starts_with(&line), "{asked}: {head}");
        }
        for path in ["/charge/../x", "/ocpp/%2e%2e/admin"] {
            assert_eq!(status(&gateway, path, "").await, "400", "{path}");
        }
    })
    .await;
}

/// Also: host, cookie and query; by header, by query parameter, over `SMHandshake` and mux.
#[tokio::test]
async fn a_name_does_not_lead_past_the_conditions_of_a_route() {
    let backend = telling();
    let conditions = [
        (
            Source::Header("x-tenant".to_owned()),
            "gold",
            "X-Tenant: gold\r\n",
        ),
        (Source::Host, "gw.example", "X-Other: 1\r\n"),
        (Source::Cookie("sid".to_owned()), "42", "Cookie: sid=42\r\n"),
    ];
    in_time(async {
        for (source, pattern, meets) in conditions {
            let pattern = if source == Source::Host {
                "other.example"
            } else {
                pattern
            };
            let mut guarded = settings(vec![endpoint("one", &[url(&backend, "/")])]);
            guarded.routes = vec![route("one", &[(source.clone(), pattern)])];
            let mut freely = guarded.clone();
            freely.routes[0].by_name = true;
            let (gateway, freely) = (start(guarded).unwrap(), start(freely).unwrap());
            for (path, name) in [("/", "ROUTENAME: one\r\n"), ("/?ROUTENAME=one", "")] {
                assert_eq!(status(&gateway, path, name).await, "403", "{source:?}");
                assert_eq!(status(&freely, path, name).await, "101", "{source:?}");
                if source != Source::Host {
                    let fields = format!("{name}{meets}");
                    assert_eq!(status(&gateway, path, &fields).await, "101", "{source:?}");
                }
            }
        }
        // A path is no guard: whoever names the endpoint names no path.
        let mut by_path = settings(vec![endpoint("one", &[url(&backend, "/")])]);
        by_path.routes = vec![route("one", &[(Source::Path, "/one")])];
        let by_path = start(by_path).unwrap();
        assert_eq!(status(&by_path, "/?ROUTENAME=one", "").await, "101");
    })
    .await;
}

/// Endpoints that refuse for all kinds of reasons; records go to `file`.
fn refusing(backend: &str, mute: &str, file: &Path) -> Settings {
    let mut silent = endpoint("silent", &[mute.to_owned()]);
    silent.opening.timeout = Duration::from_millis(10);
    silent.opening.retries = 0;
    let auth: AuthConfig = serde_json::from_str(r#"{"type": "bearer", "value": "t"}"#).unwrap();
    let mut guarded = endpoint("guarded", &[backend.to_owned()]);
    guarded.auth = Some(Gate::new(auth.resolve(&NoLookup).unwrap()).unwrap());
    let mut few = endpoint("few", &[backend.to_owned()]);
    few.per_client_max = 1;
    let mut settings = trusting(settings(vec![
        endpoint("one", &[backend.to_owned()]),
        endpoint("down", &["ws://127.0.0.1:1/".to_owned()]),
        silent,
        guarded,
        few,
    ]));
    settings.access_log = Some(AccessLog::File(file.to_owned()));
    settings.limits.per_ip_max = 2;
    settings.routes = vec![route("one", &[(Source::Path, "/one")])];
    settings
}

#[tokio::test]
async fn every_refused_request_has_one_record_with_the_reason() {
    let backend = telling();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("access.log");
    let mute = Fake::start(|mut wire: Wire| async move { drop(wire.rest().await) });
    let settings = refusing(&url(&backend, "/"), &mute.url(), &file);
    let gateway = start(settings).unwrap();
    let asked = Mutex::new(Vec::new());
    in_time(async {
        let _open = Wire::open(&gateway, "/one", "X-Real-IP: 203.0.113.1\r\n").await;
        let _other = Wire::open(&gateway, "/one", "X-Real-IP: 203.0.113.1\r\n").await;
        let few = "/?ROUTENAME=few";
        let _few = Wire::open(&gateway, few, "X-Real-IP: 203.0.113.2\r\n").await;
        for (path, fields, status) in [
            ("/nope", "X-Real-IP: 203.0.113.9\r\n", "404"),
            ("/?ROUTENAME=none", "", "404"),
            ("/one", "Origin: https://evil.example\r\n", "403"),
            ("/?ROUTENAME=down", "", "502"),
            ("/one", "X-Real-IP: 203.0.113.1\r\n", "503"),
            ("/?ROUTENAME=guarded", "Authorization: Bearer x\r\n", "401"),
            ("/?ROUTENAME=silent", "", "504"),
            (few, "X-Real-IP: 203.0.113.2\r\n", "429"),
        ] {
            let (_client, answer) = ask(&gateway, path, fields).await;
            assert_eq!(&answer[9..12], status, "{path}");
            asked.lock().unwrap().push(status);
        }
    })
    .await;
    assert!(in_time(gateway.stop()).await);
    let lines = std::fs::read_to_string(file).unwrap();
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let refused: Vec<_> = lines
        .iter()
        .filter(|line| line["end"] == "refused")
        .collect();
    let statuses: Vec<_> = refused
        .iter()
        .map(|line| line["status"].to_string())
        .collect();
    assert_eq!(statuses, *asked.lock().unwrap());
    assert_eq!(lines.len(), refused.len() + 3, "{lines:?}");
    assert_eq!(refused[0]["client"], "203.0.113.9");
    assert_eq!(refused[0]["request"], "GET /nope");
    assert_eq!(refused[2]["endpoint"], "one");
    for line in refused {
        assert!(
            line["reason"]
                .as_str()
                .is_some_and(|reason| !reason.is_empty()),
            "{line}"
        );
    }
}

//! Who calls besides back ends: health checks, pages of other origins, clients with bodies that are not taken.
//!
//! Health checks of which kinds: `GET`, `HEAD` and `OPTIONS` (`HAProxy`'s default is `OPTIONS / HTTP/1.0`), HTTP/1.0 with
//! and without `Host`, kept alive and not, at both listeners, with and without credentials demanded; HTTP/1.1 without
//! `Host` stays 400 (RFC 9112 section 3.2). Origins: allowed, not allowed, `null`, none, the server's own; preflights for
//! each method, with and without fields asked for; the answer itself, refusals included; `["*"]`.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::desk::{Desk, envelope};

const BASIC: &str = "type = \"basic\"\nuser = \"u\"\npassword = \"p\"\n"; // dTpw
const JSON: &str = "Content-Type: application/json\r\n";

/// Sends bytes as they are, ends its direction, and gives status and all of the answer in lower case.
async fn raw(desk: &Desk, listener: &str, request: &str) -> (u16, String) {
    let url = desk.url(listener);
    let (_, rest) = url.split_once("://").unwrap();
    let address = rest.split('/').next().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.get(9..12).unwrap_or_default();
    let status = status.parse().unwrap_or_else(|_| panic!("{answer}"));
    (status, answer.to_ascii_lowercase())
}

#[tokio::test]
async fn a_health_check_of_any_form_is_answered() {
    let with_credentials = format!("[server.auth]\n{BASIC}[rest.auth]\n{BASIC}");
    for config in ["", &with_credentials] {
        let desk = Desk::start(config);
        for listener in ["rest", "messaging"] {
            for request in [
                "GET /health HTTP/1.0\r\n\r\n",
                "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                "GET /health HTTP/1.0\r\nHost: localhost\r\nUser-Agent: Wget\r\n\r\n",
                "HEAD /health HTTP/1.0\r\n\r\n",
                "OPTIONS / HTTP/1.0\r\n\r\n",
                "OPTIONS /health HTTP/1.0\r\n\r\n",
                "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
                "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
                "GET /health HTTP/1.1\r\nHost: 10.244.0.9:8085\r\nUser-Agent: kube-probe/1.27\r\nConnection: close\r\n\r\n",
                "HEAD /health HTTP/1.1\r\nHost: lb.example\r\n\r\n",
                "GET /health?probe=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
                "GET /health HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Length: 0\r\n\r\n",
                "GET http://localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
                "GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
            ] {
                let (status, answer) = raw(&desk, listener, request).await;
                assert_eq!(status, 200, "{listener}: {request:?}: {answer}");
            }
            for (request, expected) in [
                ("GET /health HTTP/1.1\r\n\r\n", 400),
                ("GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
                ("GET /health HTTP/1.1\r\nHost: localhost/a\r\n\r\n", 400),
            ] {
                let (status, answer) = raw(&desk, listener, request).await;
                assert_eq!(status, expected, "{listener}: {request:?}: {answer}");
            }
        }
    }
}

/// nginx as it is without further words, and others that drop what belongs to one connection.
#[tokio::test]
async fn a_websocket_whose_upgrade_a_proxy_has_dropped_is_told_so() {
    let desk = Desk::start("");
    let rest = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for (version, fields) in [
        ("1.0", "Connection: close\r\n"),
        ("1.0", ""),
        ("1.1", "Connection: keep-alive\r\n"),
        ("1.1", "Connection: Upgrade\r\n"),
        ("1.1", "Upgrade: h2c\r\nConnection: Upgrade\r\n"),
    ] {
        let request = format!("GET /chat?id=7 HTTP/{version}\r\nHost: localhost\r\n{fields}{rest}");
        let (status, answer) = raw(&desk, "messaging", &request).await;
        assert_eq!(status, 426, "{fields}: {answer}");
        assert!(
            answer.contains("a proxy in front must be told to pass upgrade"),
            "{answer}"
        );
    }
    let (status, answer) = raw(
        &desk,
        "messaging",
        "GET /chat HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    .await;
    assert_eq!(status, 404, "{answer}");
    assert!(answer.contains("the websocket is at /chat"), "{answer}");
}

/// Rebinding a name needs a page, and pages name the host.
#[tokio::test]
async fn a_foreign_host_name_stays_refused_on_an_open_loopback_listener() {
    let desk = Desk::start("");
    for listener in ["rest", "messaging"] {
        for version in ["1.0", "1.1"] {
            let request = format!("GET / HTTP/{version}\r\nHost: evil.example\r\n\r\n");
            let (status, answer) = raw(&desk, listener, &request).await;
            assert_eq!(status, 421, "{answer}");
        }
        let page = "GET /health HTTP/1.0\r\nOrigin: http://evil.example\r\n\r\n";
        assert_eq!(raw(&desk, listener, page).await.0, 403);
    }
}

#[tokio::test]
async fn the_index_links_to_what_there_is() {
    let desk = Desk::start(&format!("[rest.auth]\n{BASIC}"));
    let (status, head, page) = desk.call("GET", "/", "", "").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/html"), "{head}");
    let links: Vec<_> = page.split("href=\"").skip(1).collect();
    assert!(links.len() >= 4, "{page}");
    for link in links {
        let path = link.split('"').next().unwrap();
        assert!(
            !path.starts_with('/'),
            "behind a prefix {path} is elsewhere"
        );
        let credentials = "Authorization: Basic dTpw\r\n";
        let found = desk
            .call("GET", &format!("/{path}"), credentials, "")
            .await
            .0;
        assert_eq!(found, 200, "{path}");
    }
}

#[tokio::test]
async fn the_swagger_ui_works_behind_a_path_prefix() {
    let desk = Desk::start("");
    let (status, head, _) = desk.call("GET", "/swagger-ui", "", "").await;
    assert_eq!(status, 303);
    assert!(head.contains("location: swagger-ui/"), "{head}");
    let initializer = "/swagger-ui/swagger-initializer.js";
    let (status, _, script) = desk.call("GET", initializer, "", "").await;
    assert_eq!(status, 200);
    assert!(script.contains("\"../openapi.json\""), "{script}");
    let (_, _, description) = desk.call("GET", "/openapi.json", "", "").await;
    assert!(
        description.contains(r#""servers":[{"url":"./"}]"#),
        "{description}"
    );
    assert_eq!(
        desk.call("GET", "/swagger-ui/nothing.js", "", "").await.0,
        404
    );
}

fn preflight(origin: &str, method: &str, fields: &str) -> String {
    format!(
        "Origin: {origin}\r\nAccess-Control-Request-Method: {method}\r\n\
         Access-Control-Request-Headers: {fields}\r\n"
    )
}

const PAGES: &str = "[server]\nallowed_origins = [\"https://app.example\"]\n";

#[tokio::test]
async fn an_allowed_page_may_call_after_its_preflight() {
    let desk = Desk::start(&format!("{PAGES}[rest.auth]\n{BASIC}"));
    let origin = "https://app.example";
    for (method, path) in [
        ("POST", "/send-message"),
        ("DELETE", "/messages"),
        ("GET", "/stat"),
        ("HEAD", "/status"),
    ] {
        let asked = "authorization,content-type,idempotency-key";
        let (status, head, _) = desk
            .call("OPTIONS", path, &preflight(origin, method, asked), "")
            .await;
        assert_eq!(status, 200, "{method} {path}: {head}");
        for expected in [
            "access-control-allow-origin: https://app.example",
            "access-control-allow-credentials: true",
            "access-control-max-age: ",
            &format!("access-control-allow-headers: {asked}"),
        ] {
            assert!(head.contains(expected), "{expected}: {head}");
        }
        let methods = head.split("access-control-allow-methods: ").nth(1).unwrap();
        let methods = methods.split("\r\n").next().unwrap();
        assert!(methods.split(',').any(|one| one == method), "{methods}");
        assert!(head.contains("vary: origin"), "{head}");
    }
    let origin = "Origin: https://app.example\r\n";
    let fields = format!("{origin}{JSON}Authorization: Basic dTpw\r\n");
    let message = envelope("0", "1", "hello");
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(11 << 20));
    for (method, path, fields, body, expected) in [
        (
            "POST",
            "/send-message",
            fields.as_str(),
            message.as_str(),
            202,
        ),
        ("DELETE", "/messages?user=1", &fields, "", 200),
        // A page can read refusals as well.
        (
            "POST",
            "/send-message",
            &format!("{origin}{JSON}"),
            "{}",
            401,
        ),
        ("POST", "/send-message", &fields, &large, 413),
        ("GET", "/nowhere", &fields, "", 404),
        ("PUT", "/send-message", &fields, "", 405),
    ] {
        let (status, head, _) = desk.call(method, path, fields, body).await;
        assert_eq!(status, expected, "{method} {path}: {head}");
        let allowed = "access-control-allow-origin: https://app.example\r\n";
        assert!(head.contains(allowed), "{method} {path}: {head}");
        assert!(
            head.contains("access-control-allow-credentials: true"),
            "{head}"
        );
        assert!(head.contains("vary: origin"), "{head}");
    }
}

#[tokio::test]
async fn another_page_gets_nothing_and_is_named_nowhere() {
    let desk = Desk::start(PAGES);
    for origin in [
        "https://evil.example",
        "http://app.example",
        "https://app.example.evil",
        "https://app.example:444",
        "null",
    ] {
        let asked = preflight(origin, "POST", "content-type");
        let call = format!("Origin: {origin}\r\n{JSON}");
        for (method, fields) in [("OPTIONS", asked), ("POST", call)] {
            let (status, head, _) = desk
                .call(method, "/send-message", &fields, &envelope("0", "1", "x"))
                .await;
            assert_eq!(status, 403, "{method} {origin}");
            assert!(!head.contains("access-control-allow"), "{head}");
            assert!(head.contains("vary: origin"), "{head}");
        }
    }
    let (_, _, waiting) = desk.call("GET", "/stat?id=0", "", "").await;
    assert!(
        waiting.contains("\"sentMessages\":0"),
        "nothing was sent: {waiting}"
    );
    // Back ends and the server's own pages need no permission.
    let own = format!("Origin: {}\r\n", desk.url("rest").trim_end_matches('/'));
    for fields in ["", &own.replace("127.0.0.1", "localhost")] {
        let (_, head, _) = desk.call("GET", "/stats", fields, "").await;
        assert!(!head.contains("access-control-allow-origin"), "{head}");
    }
}

/// Whoever allows any page must not lend it the credentials of its visitors.
#[tokio::test]
async fn with_any_origin_allowed_a_browser_adds_no_credentials_by_itself() {
    let desk = Desk::start("[server]\nallowed_origins = [\"*\"]\n");
    let asked = preflight("https://any.example", "POST", "authorization,content-type");
    let (status, head, _) = desk.call("OPTIONS", "/send-message", &asked, "").await;
    assert_eq!(status, 200);
    assert!(
        head.contains("access-control-allow-origin: *\r\n"),
        "{head}"
    );
    assert!(!head.contains("access-control-allow-credentials"), "{head}");
}

#[tokio::test]
async fn a_body_that_is_no_plain_json_is_told_apart() {
    let desk = Desk::start("");
    let message = envelope("0", "1", "hello");
    for (fields, expected) in [
        (
            "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
            415,
        ),
        ("Content-Type: application/json; charset=utf-16\r\n", 415),
        (
            "Content-Type: application/json\r\nContent-Encoding: identity\r\n",
            202,
        ),
        ("Content-Type: text/json\r\n", 400),
    ] {
        let (status, head, body) = desk.call("POST", "/send-message", fields, &message).await;
        assert_eq!(status, expected, "{fields}: {body}");
        assert_eq!(
            head.contains("accept-encoding: identity"),
            expected == 415,
            "{head}"
        );
    }
    let marked = format!("\u{feff}{message}");
    assert_eq!(
        desk.call("POST", "/send-message", JSON, &marked).await.0,
        202
    );
}

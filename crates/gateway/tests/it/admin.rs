//! The admin listener over HTTP.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tidewire::ws::{CloseCode, RunningServer, WebSocket, connect};
use tidewire_access::Gate;
use tidewire_auth::{AuthConfig, NoLookup};
use tidewire_gateway::{
    NobodyOwns, Outcome, Owner, ProcessPhase, ProcessState, Running, StartError,
    settings::{Admin, Health, Settings},
    start,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{endpoint, in_time, settings, telling, url};

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// One request on a connection of its own, with these fields besides `Host`.
async fn call(to: SocketAddr, line: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    let (host, length) = (to.to_string(), body.len().to_string());
    let mut all = vec![("Connection", "close"), ("Content-Length", &length)];
    if !fields.iter().any(|(name, _)| *name == "Host") {
        all.push(("Host", &host));
    }
    all.extend_from_slice(fields);
    let fields: Vec<_> = all
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let text = format!("{line} HTTP/1.1\r\n{}\r\n{body}", fields.concat());
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    Answer {
        status: status.parse().unwrap(),
        headers: headers
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect(),
        body: body.to_owned(),
    }
}

pub(crate) async fn get(to: SocketAddr, path: &str) -> Answer {
    call(to, &format!("GET {path}"), &[], "").await
}

async fn post(to: SocketAddr, path: &str, body: &str) -> Answer {
    let json = [("Content-Type", "application/json")];
    call(to, &format!("POST {path}"), &json, body).await
}

pub(crate) fn with_admin(mut settings: Settings, auth: Option<&str>) -> Settings {
    let auth = auth.map(|auth| {
        let auth: AuthConfig = serde_json::from_str(auth).unwrap();
        Gate::new(auth.resolve(&NoLookup).unwrap()).unwrap()
    });
    settings.admin = Some(Admin {
        auth,
        ..Admin::new("127.0.0.1:0".parse().unwrap())
    });
    settings
}

/// A gateway and its admin listener.
pub(crate) fn serve(settings: Settings) -> (Running, SocketAddr) {
    let mut gateway = start(settings).unwrap();
    let admin = gateway.serve_admin(Arc::new(NobodyOwns)).unwrap();
    (gateway, admin.unwrap().socket_addr().unwrap())
}

/// Two endpoints with a backend each, and an open admin listener.
struct Bench {
    _backends: [RunningServer; 2],
    gateway: Running,
    admin: SocketAddr,
}

impl Bench {
    fn start() -> Self {
        let backends = [telling(), telling()];
        let endpoints = vec![
            endpoint("one", &[url(&backends[0], "/?secret=1")]),
            endpoint("two", &[url(&backends[1], "/")]),
        ];
        let (gateway, admin) = serve(with_admin(settings(endpoints), None));
        Self {
            _backends: backends,
            gateway,
            admin,
        }
    }

    /// A socket of an endpoint, its greeting read.
    async fn socket(&self, endpoint: &str) -> WebSocket {
        let address = self.gateway.addresses()[0];
        let url = format!("ws://{address}/x?ROUTENAME={endpoint}&token=t0p");
        let mut socket = connect(&url).await.unwrap();
        socket.recv().await.unwrap().unwrap();
        socket
    }

    async fn endpoints(&self) -> Value {
        get(self.admin, "/api/v1/endpoints").await.json()["endpoints"].clone()
    }

    async fn sessions(&self, query: &str) -> Value {
        let path = format!("/api/v1/sessions{query}");
        get(self.admin, &path).await.json()
    }
}

async fn is_alive(socket: &mut WebSocket) -> bool {
    socket.send("still there?").await.is_ok()
        && matches!(socket.recv().await, Ok(Some(message)) if message.as_text() == Some("still there?"))
}

async fn close_code(socket: &mut WebSocket) -> (CloseCode, String) {
    while socket.recv().await.unwrap().is_some() {}
    let frame = socket.close_frame().unwrap();
    (frame.code, frame.reason.clone())
}

#[tokio::test]
async fn an_endpoint_is_drained_while_the_others_stay() {
    let bench = Bench::start();
    in_time(async {
        let mut first = bench.socket("one").await;
        let mut second = bench.socket("one").await;
        let mut other = bench.socket("two").await;
        let endpoints = bench.endpoints().await;
        let connections = |name: &str| {
            let all = endpoints.as_array().unwrap();
            let found = all.iter().find(|endpoint| endpoint["name"] == name);
            found.unwrap()["connections"].as_u64().unwrap()
        };
        assert_eq!((connections("one"), connections("two")), (2, 1));

        let drained = post(bench.admin, "/api/v1/endpoints/ONE/drain", "").await;
        assert_eq!(drained.status, 202, "{drained:?}");
        assert_eq!(drained.json()["ending"], 2);
        let expected = (
            CloseCode::SERVICE_RESTART,
            "drained by the operator".to_owned(),
        );
        assert_eq!(close_code(&mut first).await, expected);
        assert_eq!(close_code(&mut second).await, expected);
        assert!(is_alive(&mut other).await);
        // It is not shut: who comes back is served.
        assert!(is_alive(&mut bench.socket("one").await).await);
        assert_eq!(
            post(bench.admin, "/api/v1/endpoints/three/drain", "")
                .await
                .status,
            404
        );
    })
    .await;
}

#[tokio::test]
async fn sessions_are_listed_without_secrets_and_closed_by_id() {
    let bench = Bench::start();
    in_time(async {
        let mut one = bench.socket("one").await;
        let mut two = bench.socket("two").await;
        let all = bench.sessions("").await;
        assert!(!all.to_string().contains("t0p"), "{all}");
        assert_eq!(all["total"], 2);
        assert_eq!(all["sessions"][0]["endpoint"], "two", "the newest first");
        assert_eq!(all["sessions"][0]["dialect"], "pinned");
        assert_eq!(all["sessions"][0]["client"], "127.0.0.1");
        assert_eq!(all["sessions"][0]["request"], "GET /x");
        let newest = bench.sessions("?limit=1").await;
        assert_eq!(newest["sessions"].as_array().unwrap().len(), 1);
        let id = newest["sessions"][0]["id"].as_u64().unwrap();
        let older = bench.sessions(&format!("?before={id}")).await;
        assert_eq!(older["sessions"][0]["endpoint"], "one");
        let of_one = bench.sessions("?endpoint=One").await;
        assert_eq!(
            (&of_one["total"], &of_one["sessions"][0]["endpoint"]),
            (&json!(1), &json!("one"))
        );
        let path = format!("/api/v1/sessions/{}/close", of_one["sessions"][0]["id"]);

        for (body, status) in [
            (r#"{"code": 1005}"#, 400),
            (r#"{"code": 1006}"#, 400),
            (r#"{"code": 999}"#, 400),
            (r#"{"kode": 1000}"#, 400),
            ("[", 400),
            (&json!({"reason": "x".repeat(124)}).to_string(), 400),
            (r#"{"code": 4001, "reason": "enough"}"#, 202),
        ] {
            assert_eq!(
                post(bench.admin, &path, body).await.status,
                status,
                "{body}"
            );
        }
        assert_eq!(
            close_code(&mut one).await,
            (CloseCode(4001), "enough".to_owned())
        );
        assert!(is_alive(&mut two).await);
        for (path, status) in [
            ("/api/v1/sessions/999/close", 404),
            ("/api/v1/sessions/x/close", 404),
        ] {
            assert_eq!(post(bench.admin, path, "").await.status, status, "{path}");
        }
        for query in ["?limit=0", "?limit=1001", "?limit=x", "?other=1"] {
            let path = format!("/api/v1/sessions{query}");
            assert_eq!(get(bench.admin, &path).await.status, 400, "{query}");
        }
        assert_eq!(
            get(bench.admin, "/api/v1/sessions?endpoint=three")
                .await
                .status,
            404
        );
    })
    .await;
}

#[tokio::test]
async fn bytes_of_a_transparent_connection_are_told_while_it_is_open() {
    let bench = Bench::start();
    in_time(async {
        let mut socket = bench.socket("one").await;
        let big = "x".repeat(100_000);
        socket.send(big.as_str()).await.unwrap();
        socket.recv().await.unwrap().unwrap();
        let session = bench.sessions("").await["sessions"][0].clone();
        let counters = bench.endpoints().await[0]["counters"].clone();
        for count in ["bytes_in", "bytes_out"] {
            assert!(session[count].as_u64().unwrap() >= 100_000, "{session}");
            assert_eq!(session[count], counters[count], "{count}");
        }
    })
    .await;
}

#[tokio::test]
async fn checks_of_upstreams_are_told() {
    let backend = telling();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = dead.local_addr().unwrap();
    drop(dead);
    let mut endpoint = endpoint("one", &[url(&backend, "/"), format!("ws://{gone}/")]);
    endpoint.health = Some(Health {
        interval: Duration::from_millis(50),
        ..Health::default()
    });
    let (_gateway, admin) = serve(with_admin(settings(vec![endpoint]), None));
    in_time(async {
        loop {
            let endpoints = get(admin, "/api/v1/endpoints").await.json();
            let upstreams = endpoints["endpoints"][0]["upstreams"].clone();
            if upstreams[0]["health"] == "healthy" && upstreams[1]["health"] == "unhealthy" {
                let why = upstreams[1]["health_error"].as_str().unwrap();
                assert!(why.contains(&gone.to_string()), "{why}");
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_is_switched_off_keeps_its_connections_until_it_is_drained() {
    let bench = Bench::start();
    in_time(async {
        let mut socket = bench.socket("one").await;
        let upstream = bench.endpoints().await[0]["upstreams"][0].clone();
        assert!(!upstream["address"].as_str().unwrap().contains("secret"));
        let base = format!("/api/v1/endpoints/one/upstreams/{}", upstream["id"]);
        let answer = post(bench.admin, &format!("{base}/disable"), "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["enabled"], false);
        assert_eq!(bench.endpoints().await[0]["upstreams"][0]["enabled"], false);
        assert!(is_alive(&mut socket).await);
        let address = bench.gateway.addresses()[0];
        let refused = connect(&format!("ws://{address}/?ROUTENAME=one")).await;
        assert!(refused.is_err(), "{refused:?}");

        let drained = post(bench.admin, &format!("{base}/drain"), "").await;
        assert_eq!(drained.json()["ending"], 1);
        assert_eq!(close_code(&mut socket).await.0, CloseCode::SERVICE_RESTART);
        let answer = post(bench.admin, &format!("{base}/enable"), "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["enabled"], true);
        assert!(is_alive(&mut bench.socket("one").await).await);
        for action in ["disable", "enable", "drain"] {
            let path = format!("/api/v1/endpoints/one/upstreams/99/{action}");
            assert_eq!(post(bench.admin, &path, "").await.status, 404, "{action}");
        }
    })
    .await;
}

#[tokio::test]
async fn without_credentials_nothing_is_told_but_health() {
    let backend = telling();
    let settings = settings(vec![endpoint("one", &[url(&backend, "/")])]);
    let basic = r#"{"type": "oneOf", "types": [
        {"type": "basic", "user": "ops", "password": "pw"}, {"type": "bearer", "value": "t"}]}"#;
    let (_gateway, admin) = serve(with_admin(settings, Some(basic)));
    in_time(async {
        for path in [
            "/",
            "/admin.js",
            "/api/v1/status",
            "/api/v1/endpoints",
            "/api/v1/sessions",
            "/metrics",
            "/openapi.json",
        ] {
            let answer = get(admin, path).await;
            assert_eq!(answer.status, 401, "{path}");
            assert!(answer.headers["www-authenticate"].starts_with("Basic "));
            for (fields, status) in [
                (("Authorization", "Basic b3BzOnB3"), 200),
                (("Authorization", "Bearer t"), 200),
                (("Authorization", "Bearer u"), 401),
            ] {
                let answer = call(admin, &format!("GET {path}"), &[fields], "").await;
                assert_eq!(answer.status, status, "{path} {fields:?}");
            }
        }
        for path in [
            "/api/v1/reload",
            "/api/v1/drain",
            "/api/v1/endpoints/one/drain",
            "/api/v1/endpoints/one/restart",
            "/api/v1/endpoints/one/upstreams/1/disable",
            "/api/v1/sessions/1/close",
        ] {
            assert_eq!(post(admin, path, "").await.status, 401, "{path}");
        }
        let health = get(admin, "/health").await;
        assert_eq!(
            (health.status, health.body.as_str()),
            (200, r#"{"status":"ok"}"#)
        );
        // A proxy in front may ask by any name, as credentials are checked.
        let named = [("Host", "gateway.example"), ("Authorization", "Bearer t")];
        assert_eq!(
            call(admin, "GET /api/v1/status", &named, "").await.status,
            200
        );
    })
    .await;
}

#[tokio::test]
async fn a_page_that_asks_for_a_token_is_shown_before_the_token_is_known() {
    let backend = telling();
    let settings = settings(vec![endpoint("one", &[url(&backend, "/")])]);
    let bearer = r#"{"type": "bearer", "value": "t"}"#;
    let (_gateway, admin) = serve(with_admin(settings, Some(bearer)));
    in_time(async {
        let page = get(admin, "/").await;
        assert_eq!(page.status, 200);
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
        let policy = &page.headers["content-security-policy"];
        assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"));
        let known = [("If-None-Match", page.headers["etag"].as_str())];
        assert_eq!(call(admin, "GET /", &known, "").await.status, 304);
        assert_eq!(get(admin, "/api/v1/status").await.status, 401);
    })
    .await;
}

#[tokio::test]
async fn names_of_others_foreign_pages_and_plain_forms_are_refused() {
    let bench = Bench::start();
    in_time(async {
        let mut socket = bench.socket("one").await;
        let rebound = [("Host", "rebound.example")];
        for path in ["/", "/api/v1/endpoints", "/metrics"] {
            let answer = call(bench.admin, &format!("GET {path}"), &rebound, "").await;
            assert_eq!(answer.status, 421, "{path}");
        }
        // A balancer asks by whichever name.
        let probe = call(bench.admin, "GET /health", &rebound, "").await;
        assert_eq!(probe.status, 200);
        let foreign = [
            ("Origin", "http://evil.example"),
            ("Content-Type", "application/json"),
        ];
        let drain = "POST /api/v1/endpoints/one/drain";
        assert_eq!(call(bench.admin, drain, &foreign, "").await.status, 403);
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        assert_eq!(call(bench.admin, drain, &form, "a=b").await.status, 403);
        assert_eq!(call(bench.admin, drain, &[], "").await.status, 403);
        let preflight = [
            ("Origin", "http://evil.example"),
            ("Access-Control-Request-Method", "POST"),
        ];
        let answer = call(
            bench.admin,
            "OPTIONS /api/v1/endpoints/one/drain",
            &preflight,
            "",
        )
        .await;
        assert_eq!(answer.status, 403);
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
        assert_eq!(
            get(bench.admin, "/api/v1/endpoints/one/drain").await.status,
            405
        );
        assert!(is_alive(&mut socket).await, "nothing was drained");
        let own = [("X-Tidewire-Admin", "1")];
        assert_eq!(call(bench.admin, drain, &own, "").await.status, 202);
        assert_eq!(close_code(&mut socket).await.0, CloseCode::SERVICE_RESTART);
    })
    .await;
}

#[tokio::test]
async fn an_admin_listener_for_everybody_is_refused_beyond_loopback() {
    let backend = telling();
    let mut settings = settings(vec![endpoint("one", &[url(&backend, "/")])]);
    settings.admin = Some(Admin::new("0.0.0.0:0".parse().unwrap()));
    let mut gateway = start(settings).unwrap();
    let refused = gateway.serve_admin(Arc::new(NobodyOwns));
    assert!(matches!(refused, Err(StartError::AdminOpen(_))));
}

/// An owner who counts what it is asked.
#[derive(Debug, Default)]
struct Counting {
    reloads: AtomicU32,
    stops: AtomicU32,
    restarts: AtomicU32,
}

impl Owner for Counting {
    fn reload(&self) -> Outcome {
        let outcome = match self.reloads.fetch_add(1, Ordering::Relaxed) {
            0 => Ok("2 warnings".to_owned()),
            _ => Err("gateway.toml: endpoint \"two\" has no upstream".to_owned()),
        };
        Box::pin(std::future::ready(outcome))
    }

    fn stop(&self) {
        self.stops.fetch_add(1, Ordering::Relaxed);
    }

    fn process(&self, endpoint: &str) -> Option<ProcessState> {
        (endpoint == "one").then(|| ProcessState {
            phase: ProcessPhase::CrashLoop,
            pid: None,
            restarts: 5,
            last_exit: Some("exit status: 3".to_owned()),
        })
    }

    fn restart(&self, endpoint: &str) -> bool {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        endpoint == "one"
    }
}

#[tokio::test]
async fn the_owner_is_asked_to_reload_to_stop_and_to_restart_processes() {
    let backend = telling();
    let endpoints = ["one", "two"].map(|name| endpoint(name, &[url(&backend, "/")]));
    let owner = Arc::new(Counting::default());
    let settings = with_admin(settings(endpoints.into()), None);
    let mut gateway = start(settings).unwrap();
    let admin = gateway.serve_admin(Arc::clone(&owner) as _);
    let admin = admin.unwrap().unwrap().socket_addr().unwrap();
    in_time(async {
        let reloaded = post(admin, "/api/v1/reload", "").await;
        assert_eq!(
            (reloaded.status, &reloaded.json()["message"]),
            (200, &json!("2 warnings"))
        );
        let refused = post(admin, "/api/v1/reload", "").await;
        assert_eq!(refused.status, 422);
        assert!(refused.body.contains("has no upstream"), "{refused:?}");
        assert_eq!(post(admin, "/api/v1/drain", "").await.status, 202);
        assert_eq!(owner.stops.load(Ordering::Relaxed), 1);

        let endpoints = get(admin, "/api/v1/endpoints").await.json();
        let process = &endpoints["endpoints"][0]["process"];
        assert_eq!(
            (&process["phase"], &process["restarts"]),
            (&json!("crash_loop"), &json!(5))
        );
        assert_eq!(endpoints["endpoints"][1]["process"], Value::Null);
        for (name, status) in [("one", 202), ("two", 409), ("three", 404)] {
            let path = format!("/api/v1/endpoints/{name}/restart");
            assert_eq!(post(admin, &path, "").await.status, status, "{name}");
        }
        assert_eq!(owner.restarts.load(Ordering::Relaxed), 2);
        let metrics = get(admin, "/metrics").await.body;
        assert!(
            metrics.contains("process_restarts_total{endpoint=\"one\"} 5\n"),
            "{metrics}"
        );

        let status = get(admin, "/api/v1/status").await.json();
        assert_eq!(
            status["listeners"][0]["address"],
            gateway.addresses()[0].to_string()
        );
        assert_eq!(
            (&status["endpoints"], &status["sessions"]["total"]),
            (&json!(2), &json!(0))
        );
    })
    .await;
}

#[tokio::test]
async fn metrics_are_well_formed_and_their_labels_come_from_the_configuration() {
    let backend = telling();
    // A name that needs escaping must not break the text.
    let endpoints = ["one", "a \"b\\\nc"].map(|name| endpoint(name, &[url(&backend, "/")]));
    let (gateway, admin) = serve(with_admin(settings(endpoints.into()), None));
    let address = gateway.addresses()[0];
    in_time(async {
        let mut socket = connect(&format!("ws://{address}/secret?ROUTENAME=one"))
            .await
            .unwrap();
        socket.recv().await.unwrap().unwrap();
        let answer = get(admin, "/metrics").await;
        assert!(answer.headers["content-type"].starts_with("application/openmetrics-text"));
        let text = answer.body;
        assert!(text.ends_with("# EOF\n"), "{text}");
        let mut seen = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(series.starts_with("tidewire_gateway_"), "{line}");
            assert!(
                seen.insert(series.to_owned(), value.to_owned()).is_none(),
                "{line} twice"
            );
        }
        let host = backend.local_addr();
        for (series, value) in [
            ("opened_total{endpoint=\"one\"}", "1"),
            ("connections{endpoint=\"one\"}", "1"),
            ("sessions{endpoint=\"one\",dialect=\"pinned\"}", "1"),
            (
                "transferred_bytes_total{endpoint=\"one\",direction=\"in\"}",
                "",
            ),
            ("access_log_dropped_total", "0"),
            (
                &format!("upstream_active{{endpoint=\"one\",upstream=\"{host}\"}}"),
                "1",
            ),
            ("opened_total{endpoint=\"a \\\"b\\\\\\nc\"}", "0"),
        ] {
            let found = seen.get(&format!("tidewire_gateway_{series}"));
            let found = found.unwrap_or_else(|| panic!("{series} is missing:\n{text}"));
            assert!(value.is_empty() || found == value, "{series} is {found}");
        }
        assert!(
            !text.contains("127.0.0.1\"") && !text.contains("secret"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn every_described_path_is_answered() {
    let bench = Bench::start();
    in_time(async {
        let api = get(bench.admin, "/openapi.json").await.json();
        let paths = api["paths"].as_object().unwrap();
        assert!(paths.len() > 10);
        for (path, methods) in paths {
            let path = path.replace("{name}", "three").replace("{id}", "99");
            for method in methods.as_object().unwrap().keys() {
                let line = format!("{} {path}", method.to_uppercase());
                let json = [("Content-Type", "application/json")];
                let answer = call(bench.admin, &line, &json, "").await;
                assert_ne!(answer.status, 405, "{line}");
                assert!(!answer.body.contains("there is nothing here"), "{line}");
            }
        }
        assert_eq!(get(bench.admin, "/api/v1/other").await.status, 404);
    })
    .await;
    assert!(in_time(bench.gateway.stop()).await);
}

/// A connection that has asked for `/health`, with these fields, and stays.
async fn kept(to: SocketAddr, path: &str, fields: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    ask(&mut stream, to, path, fields).await.unwrap();
    stream
}

async fn ask(
    stream: &mut TcpStream,
    to: SocketAddr,
    path: &str,
    fields: &str,
) -> std::io::Result<usize> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {to}\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.read(&mut vec![0; 16 << 10]).await
}

#[tokio::test]
async fn who_only_holds_connections_open_keeps_no_operator_out() {
    let auth = r#"{"type": "bearer", "value": "0123456789abcdef"}"#;
    let backend = telling();
    let endpoints = vec![endpoint("one", &[url(&backend, "/")])];
    let (_gateway, admin) = serve(with_admin(settings(endpoints), Some(auth)));
    let credentials = "Authorization: Bearer 0123456789abcdef\r\n";
    in_time(async {
        let mut operator = kept(admin, "/api/v1/status", credentials).await;
        let mut crowd = Vec::new();
        for number in 0..300 {
            // Some ask, some say nothing at all, some begin to.
            let stream = match number % 3 {
                0 => kept(admin, "/health", "").await,
                1 => kept(admin, "/api/v1/status", "Authorization: Bearer wrong\r\n").await,
                _ => {
                    let mut stream = TcpStream::connect(admin).await.unwrap();
                    stream.write_all(b"GET /hea").await.unwrap();
                    stream
                }
            };
            crowd.push(stream);
        }
        let answer = call(
            admin,
            "GET /api/v1/status",
            &[("Authorization", "Bearer 0123456789abcdef")],
            "",
        );
        assert_eq!(answer.await.status, 200);
        let answered = ask(&mut operator, admin, "/api/v1/status", credentials).await;
        assert!(answered.unwrap() > 0, "the operator's connection is kept");
        let mut last = crowd.pop().unwrap();
        last.write_all(b"lth HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        assert!(
            last.read(&mut [0; 99]).await.unwrap() > 0,
            "so is the newest"
        );
        assert_eq!(crowd[0].read(&mut [0; 99]).await.unwrap_or(0), 0);
    })
    .await;
}

/// Of every kind of answer of the admin listener, by the limit for writes. Others are answered.
#[tokio::test]
async fn a_client_that_reads_no_answer_is_cut() {
    let backend = telling();
    let mut settings = with_admin(settings(vec![endpoint("one", &[url(&backend, "/")])]), None);
    settings.limits.write_timeout = Duration::from_millis(100);
    let (_gateway, admin) = serve(settings);
    for path in [
        "/health",
        "/api/v1/status",
        "/metrics",
        "/openapi.json",
        "/",
        "/nope",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(100);
        let mut stream = TcpStream::connect(admin).await.unwrap();
        // Until the gateway has stopped reading, then until it has cut the connection.
        in_time(async { while stream.write_all(request.as_bytes()).await.is_ok() {} }).await;
        assert_eq!(get(admin, "/health").await.status, 200);
    }
}

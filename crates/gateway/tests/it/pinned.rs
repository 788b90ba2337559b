//! Plain clients, connected through.

use std::sync::Arc;

use tidewire::ws::{
    Client, CloseCode, Config, DeflateConfig, Message, Server, ServerConfig, WebSocket, connect,
};
use tidewire_access::Gate;
use tidewire_gateway::{
    settings::{Condition, Extensions, Pattern, Route, Source},
    start,
};

use crate::support::{echo, endpoint, in_time, settings, telling, url};

/// Parity: M-29.
#[tokio::test]
async fn a_name_in_header_or_query_pins_a_connection() {
    let backend = telling();
    let endpoint = endpoint("endpoint1", &[url(&backend, "/own?token=t")]);
    let gateway = start(settings(vec![endpoint])).unwrap();
    let address = gateway.addresses()[0];
    in_time(async {
        let by_header = Client::new(&format!("ws://{address}/x?a=1"))
            .unwrap()
            .header("ROUTENAME", "Endpoint1")
            .header("X-Forwarded-For", "6.6.6.6")
            .header("X-Own", "kept")
            .subprotocol("chat.v1");
        let mut socket = by_header.connect().await.unwrap();
        assert_eq!(socket.subprotocol(), Some("chat.v1"));
        let head = socket.recv().await.unwrap().unwrap();
        let head = head.as_text().unwrap().to_lowercase();
        assert!(
            head.starts_with("get /own?token=t&a=1 http/1.1\r\n"),
            "{head}"
        );
        assert!(head.contains("\r\nx-own: kept\r\n"), "{head}");
        assert!(
            head.contains("\r\nx-forwarded-for: 127.0.0.1\r\n"),
            "{head}"
        );
        assert!(head.contains("\r\nx-forwarded-proto: http\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nhost: {address}\r\n")), "{head}");
        assert!(!head.contains("routename"), "{head}");
        let big = "x".repeat(3_000_000);
        socket.send(big.as_str()).await.unwrap();
        assert_eq!(
            socket.recv().await.unwrap().unwrap().as_text(),
            Some(big.as_str())
        );
        let answer = socket.close(CloseCode(4242), "bye").await.unwrap().unwrap();
        assert_eq!(answer.code, CloseCode(4242));

        let by_query = format!("ws://{address}/?ROUTENAME=ENDPOINT1&b=2");
        let mut socket = connect(&by_query).await.unwrap();
        let head = socket.recv().await.unwrap().unwrap();
        let head = head.as_text().unwrap();
        assert!(
            head.starts_with("GET /own?token=t&b=2 HTTP/1.1\r\n"),
            "{head}"
        );

        let unknown = connect(&format!("ws://{address}/?ROUTENAME=other")).await;
        let Err(error) = unknown else {
            panic!("{unknown:?}")
        };
        assert_eq!(error.status(), Some(404));
    })
    .await;
    assert!(in_time(gateway.stop()).await);
}

#[tokio::test]
async fn routes_choose_by_path_host_header_query_subprotocol_and_cookie() {
    let backend = telling();
    let names = ["path", "host", "header", "query", "subprotocol", "cookie"];
    let endpoints = names.map(|name| endpoint(name, &[url(&backend, &format!("/{name}"))]));
    let mut settings = settings(endpoints.into());
    let rules = [
        (Source::Path, "/app/*"),
        (Source::Host, "re:(a|b)\\.example"),
        (Source::Header("X-Tenant".into()), "gold"),
        (Source::Query("room".into()), "r*"),
        (Source::Subprotocol, "chat.*"),
        (Source::Cookie("sid".into()), "42"),
    ];
    for (name, (source, pattern)) in names.iter().zip(rules) {
        settings.routes.push(Route {
            endpoint: (*name).into(),
            conditions: vec![Condition {
                source,
                pattern: Pattern::parse(pattern).unwrap(),
            }],
            strip_prefix: (*name == "path").then(|| "/app".to_owned()),
            keep_path: false,
            by_name: false,
        });
    }
    let gateway = start(settings).unwrap();
    let base = format!("ws://{}", gateway.addresses()[0]);
    let client = |path: &str| Client::new(&format!("{base}{path}")).unwrap();
    in_time(async {
        for (client, expected) in [
            (client("/app/deep/er?x=1"), "/path/deep/er?x=1"),
            (client("/").header("Host", "b.example:99"), "/host"),
            (client("/").header("X-Tenant", "gold"), "/header"),
            (client("/?room=r1"), "/query?room=r1"),
            (client("/").subprotocol("chat.v2"), "/subprotocol"),
            (client("/").header("Cookie", "x=1; sid=42"), "/cookie"),
        ] {
            let mut socket = client.connect().await.unwrap();
            let head = socket.recv().await.unwrap().unwrap();
            let line = head.as_text().unwrap().lines().next().unwrap().to_owned();
            assert_eq!(line, format!("GET {expected} HTTP/1.1"));
        }
    })
    .await;
}

#[tokio::test]
async fn with_compression_per_hop_the_gateway_compresses_and_inflates_towards_both() {
    let compressing = || {
        let mut config = Config::default();
        config.deflate = Some(DeflateConfig::default());
        config
    };
    let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
    config.socket = Arc::new(compressing());
    let backend = Server::new(config).route("/", echo).start().unwrap();
    let mut endpoint = endpoint("one", &[url(&backend, "/")]);
    endpoint.extensions = Extensions::PerHop;
    let gateway = start(settings(vec![endpoint])).unwrap();
    let address = gateway.addresses()[0];
    in_time(async {
        let client = Client::new(&format!("ws://{address}/?ROUTENAME=one")).unwrap();
        let mut socket = client.config(compressing()).connect().await.unwrap();
        let lines: Vec<String> = (0..10_000).map(|line| format!("line {line}")).collect();
        let text = lines.join("\n");
        socket.send(text.as_str()).await.unwrap();
        let echoed = socket.recv().await.unwrap().unwrap();
        assert_eq!(echoed.as_text(), Some(text.as_str()));
        let stats = socket.stats();
        let plain = text.len() as u64;
        assert!(stats.bytes_sent < plain / 2, "{stats:?} of {plain}");
        assert!(stats.bytes_received < plain / 2, "{stats:?} of {plain}");
    })
    .await;
}

#[tokio::test]
async fn what_a_backend_has_compressed_a_thousandfold_is_no_attack() {
    let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
    let mut socket = Config::default();
    socket.deflate = Some(DeflateConfig::default());
    config.socket = Arc::new(socket);
    let zeros = |mut socket: WebSocket| async move {
        socket.send(Message::binary(vec![0; 500_000])).await.ok();
        while let Ok(Some(_)) = socket.recv().await {}
    };
    let backend = Server::new(config).route("/", zeros).start().unwrap();
    let mut endpoint = endpoint("one", &[url(&backend, "/")]);
    endpoint.extensions = Extensions::PerHop;
    let gateway = start(settings(vec![endpoint])).unwrap();
    let address = gateway.addresses()[0];
    in_time(async {
        let url = format!("ws://{address}/?ROUTENAME=one");
        let mut socket = connect(&url).await.unwrap();
        let message = socket.recv().await.unwrap().unwrap();
        assert_eq!(message.payload().len(), 500_000);
    })
    .await;
}

/// Parity: M-29.
#[tokio::test]
async fn a_request_that_names_two_endpoints_is_refused() {
    let backend = telling();
    let endpoints = ["one", "two"].map(|name| endpoint(name, &[url(&backend, "/")]));
    let gateway = start(settings(endpoints.into())).unwrap();
    let address = gateway.addresses()[0];
    let client = |query: &str| Client::new(&format!("ws://{address}/?{query}")).unwrap();
    in_time(async {
        for client in [
            client("ROUTENAME=one").header("ROUTENAME", "two"),
            client("ROUTENAME=one&ROUTENAME=one"),
            client("")
                .header("ROUTENAME", "one")
                .header("ROUTENAME", "one"),
        ] {
            let Err(error) = client.connect().await else {
                panic!("opened")
            };
            assert_eq!(error.status(), Some(400));
        }
    })
    .await;
}

/// A page can give its token nowhere else, and a browser gives up a connection that is answered none of its subprotocols.
#[tokio::test]
async fn a_page_gives_its_token_as_a_subprotocol_and_is_answered_by_the_backend_or_else_the_gateway()
 {
    let backend = telling();
    for extensions in [Extensions::EndToEnd, Extensions::PerHop] {
        let auth: tidewire_auth::AuthConfig =
            serde_json::from_str(r#"{"type":"bearer","value":"a/b","query":"access_token"}"#)
                .unwrap();
        let mut guarded = endpoint("endpoint1", &[url(&backend, "/")]);
        guarded.auth = Some(Gate::new(auth.resolve(&tidewire_auth::NoLookup).unwrap()).unwrap());
        guarded.extensions = extensions;
        let gateway = start(settings(vec![guarded])).unwrap();
        let address = gateway.addresses()[0];
        let token = "tidewire.bearer.a%2Fb";
        let dial = async |query: &str, offered: &[&str]| {
            let client = Client::new(&format!("ws://{address}/?ROUTENAME=endpoint1{query}"));
            let mut client = client.unwrap();
            for name in offered {
                client = client.subprotocol(*name);
            }
            client.connect().await
        };
        in_time(async {
            for (query, offered, agreed) in [
                ("", &["chat.v1", token][..], Some("chat.v1")),
                ("", &[token], Some(token)),
                ("", &["unknown", token], Some(token)),
                ("&access_token=a%2Fb", &[], None),
                ("&access_token=a/b", &["chat.v1"], Some("chat.v1")),
            ] {
                let socket = dial(query, offered).await.unwrap();
                assert_eq!(socket.subprotocol(), agreed, "{query} {offered:?}");
            }
            for (query, offered) in [
                ("", &["chat.v1", "tidewire.bearer.wrong"][..]),
                ("&access_token=a+b", &["chat.v1"]),
                ("&token=a/b", &[]),
            ] {
                let Err(error) = dial(query, offered).await else {
                    panic!("expected a refusal of {query} {offered:?}");
                };
                assert_eq!(error.status(), Some(401));
            }
        })
        .await;
    }
}

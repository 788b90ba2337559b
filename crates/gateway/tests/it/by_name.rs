//! A route's query conditions hold for those who name the endpoint, too, however they name it: by parameter, by field,
//! over `SMHandshake`, over mux. (Header, host and cookie: `behind_proxies`.) The query is that of the request that
//! opens the WebSocket; a stream's own is its backend's business. Kinds of values: right, wrong, missing, twice, encoded,
//! under a name in another case; an endpoint without routes, with `by_name`, with one open route of two, under an alias.

use tidewire::{
    mux::{self, OpenError},
    ws::{RunningServer, WebSocket, connect},
};
use tidewire_gateway::{
    Running,
    settings::{Condition, Endpoint, Pattern, Route, Source},
    start,
};

use crate::{
    support::{endpoint, in_time, settings, telling, url},
    wire::{Wire, upgrade},
};

fn route(endpoint: &str, key: Option<&str>) -> Route {
    let query = |key: &str| Condition {
        source: Source::Query("key".to_owned()),
        pattern: Pattern::parse(key).unwrap(),
    };
    // So that it pins no request to another path.
    let path = Condition {
        source: Source::Path,
        pattern: Pattern::parse("/by-path").unwrap(),
    };
    let conditions = key.map(query).into_iter().chain([path]);
    Route {
        endpoint: endpoint.to_owned(),
        conditions: conditions.collect(),
        strip_prefix: None,
        keep_path: false,
        by_name: false,
    }
}

fn gateway() -> (Running, RunningServer) {
    let backend = telling();
    let guarded = Endpoint {
        aliases: vec!["alias".to_owned()],
        ..endpoint("guarded", &[url(&backend, "/")])
    };
    let others = ["half", "freely", "unrouted"].map(|name| endpoint(name, &[url(&backend, "/")]));
    let mut settings = settings([vec![guarded], others.into()].concat());
    let freely = Route {
        by_name: true,
        ..route("freely", Some("k1"))
    };
    settings.routes = vec![
        route("guarded", Some("k1")),
        freely,
        route("half", Some("k1")),
        route("half", None),
    ];
    settings.classic.paths = vec!["/".to_owned()];
    (start(settings).unwrap(), backend)
}

/// Each with a query, and `true` where it may be asked for.
const CASES: &[(&str, &str, bool)] = &[
    ("guarded", "key=k1", true),
    ("GUARDED", "key=k1", true),
    ("alias", "key=%6b1", true),
    ("guarded", "", false),
    ("Guarded", "", false),
    ("alias", "", false),
    ("guarded", "key=k2", false),
    ("guarded", "KEY=k1", false),
    ("guarded", "key=k1&key=k1", false),
    ("guarded", "key=k2&key=k1", false),
    ("guarded", "key=k1;x=1", false),
    ("guarded", "key=", false),
    ("freely", "", true),
    ("half", "", true),
    ("unrouted", "", true),
];

#[tokio::test(flavor = "multi_thread")]
async fn by_field_and_by_parameter() {
    let (gateway, _backend) = gateway();
    in_time(async {
        for (name, query, may) in CASES {
            let status = if *may { "101" } else { "403" };
            let by_field = (format!("/?{query}"), format!("ROUTENAME: {name}\r\n"));
            let by_parameter = (format!("/?{query}&ROUTENAME={name}"), String::new());
            let encoded = (format!("/?ROUTENAM%45={name}&{query}"), String::new());
            for (path, fields) in [by_field, by_parameter, encoded] {
                let mut client = Wire::to(&gateway).await;
                client.write(upgrade(&path, &fields)).await;
                let answer = client.head().await;
                assert_eq!(&answer[9..12], status, "{path} {fields}: {answer}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_smhandshake() {
    async fn say(socket: &mut WebSocket, text: &str) -> String {
        socket.send(text).await.unwrap();
        let message = socket.recv().await.unwrap().unwrap();
        message.as_text().unwrap().to_owned()
    }
    let (gateway, _backend) = gateway();
    in_time(async {
        for (name, query, may) in CASES {
            let address = format!("ws://{}/?{query}", gateway.addresses()[0]);
            let mut socket = connect(&address).await.unwrap();
            say(&mut socket, "{event: SMHandshake, data: SYN}").await;
            let event = "{event: SMHandshake, data: ACK}";
            socket.send(event).await.unwrap();
            // That it is there is no secret; the first message opens it.
            let event = format!("{{event: SMHandshake, data: {name}}}");
            let answer = say(&mut socket, &event).await;
            assert!(answer.contains("data: ACK"), "{name} {query}: {answer}");
            say(&mut socket, "{event: SMHandshakeEnd}").await;
            let answer = say(&mut socket, &format!("ROUTENAME={name}\nhello")).await;
            let is_open = answer.contains("\nGET /");
            assert_eq!(is_open, *may, "{name} {query}: {answer}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_mux() {
    let (gateway, _backend) = gateway();
    in_time(async {
        for (name, query, may) in CASES {
            let address = format!("ws://{}/?{query}", gateway.addresses()[0]);
            let client = mux::connect(&address).await.unwrap();
            for of_stream in ["", "key=k1"] {
                match client.endpoint(*name).query(of_stream).await {
                    Ok(_) => assert!(may, "{name} {query}"),
                    Err(OpenError::Rejected { status: 403, .. }) => assert!(!may, "{name} {query}"),
                    Err(error) => panic!("{name} {query}: {error}"),
                }
            }
        }
    })
    .await;
}

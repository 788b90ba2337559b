//! Backends that insist on something: their checks bring it by configuration. Of the kind are a subprotocol, a host, a path,
//! credentials, an origin, and what no check can show.

use std::{sync::Arc, time::Duration};

use tidewire_gateway::settings::{Endpoint, Health};

use crate::{
    support::{endpoint, in_time, settings},
    wire::{Fake, field, frame, switching},
};

/// A backend that opens for requests that it likes, answers pings, and refuses the others with 401.
fn insisting(likes: impl Fn(&str) -> bool + Send + Sync + 'static) -> Fake {
    let likes = Arc::new(likes);
    Fake::start(move |mut wire| {
        let likes = Arc::clone(&likes);
        async move {
            let head = wire.head().await;
            if !likes(&head) {
                if !head.is_empty() {
                    wire.write("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
                        .await;
                }
                return;
            }
            let answer = switching(&head);
            let chosen = field(&head, "sec-websocket-protocol")
                .map_or("\r\n", |_| "Sec-WebSocket-Protocol: v2\r\n\r\n");
            let answer = answer.strip_suffix("\r\n").unwrap();
            wire.write([answer, chosen].concat()).await;
            while let Some(got) = wire.frame().await {
                let first = if got.first == 0x89 { 0x8a } else { got.first };
                wire.write(frame(first, got.payload)).await;
                if first == 0x88 {
                    return;
                }
            }
        }
    })
}

/// Waits for the health of the endpoint's only upstream.
async fn health_of(one: Endpoint, wanted: &str) {
    let (gateway, admin) = crate::admin::serve(crate::admin::with_admin(settings(vec![one]), None));
    loop {
        let endpoints = crate::admin::get(admin, "/api/v1/endpoints").await.json();
        if endpoints["endpoints"][0]["upstreams"][0]["health"] == wanted {
            break;
        }
        tokio::task::yield_now().await;
    }
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_bring_what_a_backend_insists_on() {
    let likes = |head: &str| {
        head.starts_with("GET /alive?x=1 ")
            && field(head, "host") == Some("chat.example.org:8443")
            && field(head, "origin") == Some("https://chat.example.org")
            && field(head, "authorization") == Some("Bearer t")
            && field(head, "x-taken").is_none()
            && field(head, "x-of-all") == Some("1")
            && field(head, "sec-websocket-protocol") == Some("v2, v1")
    };
    let fake = insisting(likes);
    let mut one = endpoint("one", &[fake.url()]);
    one.request_headers = vec![
        ("X-Taken".into(), "1".into()),
        ("X-Of-All".into(), "1".into()),
        ("Host".into(), "other".into()),
    ];
    let texts = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    };
    one.health = Some(Health {
        interval: Duration::from_millis(100),
        path: Some("/alive?x=1".into()),
        host: Some("chat.example.org:8443".into()),
        subprotocols: vec!["v2".into(), "v1".into()],
        headers: texts(&[
            ("origin", "https://chat.example.org"),
            ("Authorization", "Bearer t"),
            ("x-taken", ""),
        ]),
        ..Health::default()
    });
    in_time(health_of(one.clone(), "healthy")).await;
    one.health = Some(Health {
        interval: Duration::from_millis(100),
        ..Health::default()
    });
    in_time(health_of(one, "unhealthy")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_listed_counts_as_success() {
    let fake = insisting(|_head| false);
    let mut one = endpoint("one", &[fake.url()]);
    for (statuses, wanted) in [(vec![401], "healthy"), (vec![403], "unhealthy")] {
        one.health = Some(Health {
            interval: Duration::from_millis(100),
            statuses,
            ..Health::default()
        });
        in_time(health_of(one.clone(), wanted)).await;
    }
}

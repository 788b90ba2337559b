//! Clients that ask and do not read the answer.
//!
//! Of the gateway's answers one alone is larger than what the sockets' buffers hold: an upstream's refusal with a long
//! body, where bytes are relayed and where messages are read. The gateway's own are a few lines and the last ones of their
//! connection; what a client sends behind them is read and dropped within bounds of its own, and so many clients
//! that read none of them keep nobody out.

use std::time::Duration;

use tidewire_gateway::{
    settings::{Endpoint, Extensions, Opening},
    start,
};
use tokio::io::AsyncWriteExt as _;

use crate::{
    support::{endpoint, in_time, settings},
    wire::{Fake, Wire, upgrade},
};

/// More than the buffers of both sockets take.
const BODY: usize = 16 << 20;

/// A backend that refuses every handshake, in many words.
fn verbose() -> Fake {
    Fake::start(|mut wire| async move {
        wire.head().await;
        let head = format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: {BODY}\r\n\r\n");
        let refusal = [head.as_bytes(), &vec![b'x'; BODY]].concat();
        // The gateway takes it whole, or has gone.
        drop(wire.stream.write_all(&refusal).await);
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_an_upstreams_refusal_is_cut() {
    let fake = verbose();
    let names = [
        ("bytes", Extensions::EndToEnd),
        ("messages", Extensions::PerHop),
    ];
    let endpoints = names.map(|(name, extensions)| Endpoint {
        extensions,
        opening: Opening {
            body_bytes_max: BODY,
            ..Opening::default()
        },
        ..endpoint(name, &[fake.url()])
    });
    let mut settings = settings(endpoints.to_vec());
    settings.limits.handshake_timeout = Duration::from_secs(1);
    let gateway = start(settings).unwrap();
    in_time(async {
        for (name, _) in names {
            let mut stuck = Wire::to(&gateway).await;
            stuck
                .write(upgrade(&format!("/?ROUTENAME={name}"), ""))
                .await;
            // Until the gateway reads no more, and then until it has cut the connection.
            while stuck.stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_read_no_refusal_of_the_gateways_own_keep_nobody_out() {
    let mut settings = settings(vec![endpoint("down", &["ws://127.0.0.1:1/".to_owned()])]);
    settings.limits.connections_max = 8;
    settings.limits.handshake_timeout = Duration::from_secs(1);
    let gateway = start(settings).unwrap();
    in_time(async {
        let mut silent = Vec::new();
        for request in [
            "GET /healthz HTTP/1.1\r\nHost: gw.example\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\nHost: gw.example\r\n\r\n".to_owned(),
            "DELETE /healthz HTTP/1.1\r\nHost: gw.example\r\n\r\n".to_owned(),
            "nonsense\r\n\r\n".to_owned(),
            "\x16\x03\x01 TLS at a plain port".to_owned(),
            upgrade("/?ROUTENAME=unknown", ""),
            upgrade("/?ROUTENAME=down", ""),
            upgrade("/?ROUTENAME=down", "Origin: https://evil.example\r\n"),
        ] {
            let mut client = Wire::to(&gateway).await;
            client.write(request).await;
            silent.push(client);
        }
        loop {
            let mut probe = Wire::to(&gateway).await;
            let request = "GET /healthz HTTP/1.1\r\nHost: gw.example\r\n\r\n";
            // Who finds no place is told so, before the request is read.
            drop(probe.stream.write_all(request.as_bytes()).await);
            if probe.head().await.starts_with("HTTP/1.1 200 ") {
                break;
            }
        }
        drop(silent);
    })
    .await;
}

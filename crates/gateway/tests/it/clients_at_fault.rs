//! Ends that clients cause are not held against an upstream: whatever one does, the next one gets it.
//!
//! Of this kind are: a wrong first message (the backend closes, or drops the connection), a socket too many (1013), a cookie
//! or a path that the backend answers with a status in any HTTP, with silence, with an early end, or with what is no HTTP;
//! a client that goes. Told from it is an upstream that fails by itself: it is not reached, or answers nobody.

use std::{net::SocketAddr, time::Duration};

use tidewire::ws::{Client, connect};
use tidewire_gateway::{
    Running,
    settings::{Ejection, Endpoint, Extensions, Resume},
    start,
};
use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    support::{endpoint, in_time, settings},
    wire::{Fake, Wire, frame, masked, switching, upgrade},
};

/// A backend that does to a client what its path asks for, and echoes frames otherwise.
fn obliging() -> Fake {
    Fake::start(|mut wire| async move {
        let head = wire.head().await;
        let path = head.split(' ').nth(1).unwrap_or_default();
        let query = path.split_once("do=").map_or("", |(_, what)| what);
        match query {
            "400" => wire.write("HTTP/1.0 400 Bad Request\r\n\r\nno").await,
            "503" => {
                wire.write("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
                    .await;
            }
            "431" => {
                wire.write("HTTP/1.1 431 Large\nContent-Length: 0\n\n")
                    .await;
            }
            "end" => {}
            "garbage" => wire.write("garbage").await,
            "silence" => drop(wire.rest().await),
            "drop" => wire.write(switching(&head)).await,
            "busy" => {
                wire.write(switching(&head)).await;
                wire.write(frame(0x88, 1013_u16.to_be_bytes())).await;
            }
            "reset" => {
                wire.write(switching(&head)).await;
                wire.stream.set_zero_linger().unwrap();
            }
            _ if head.is_empty() => {}
            _ => {
                wire.write(switching(&head)).await;
                while let Some(got) = wire.frame().await {
                    let first = if got.first == 0x89 { 0x8a } else { got.first };
                    wire.write(frame(first, got.payload)).await;
                    if got.first == 0x88 {
                        return;
                    }
                }
            }
        }
    })
}

/// The ends that a client can cause.
const DEEDS: [&str; 9] = [
    "400", "503", "431", "end", "garbage", "silence", "drop", "busy", "reset",
];

#[derive(Clone, Copy, Debug)]
enum Way {
    Bytes,
    Messages,
    Resume,
}

fn gateway(way: Way, urls: &[String]) -> Running {
    let mut one = Endpoint {
        ejection: Some(Ejection {
            ejected_for: Duration::from_mins(10),
            ejected_max: Duration::from_mins(10),
            ..Ejection::default()
        }),
        ..endpoint("one", urls)
    };
    one.opening.timeout = Duration::from_secs(1);
    match way {
        Way::Bytes => {}
        Way::Messages => one.extensions = Extensions::PerHop,
        Way::Resume => {
            one.resume = Some(Resume {
                timeout: Duration::from_millis(100),
                ..Resume::default()
            });
        }
    }
    start(settings(vec![one])).unwrap()
}

/// One client, which may be refused or opened, and is gone then.
async fn misbehave(gateway: SocketAddr, deed: &str) {
    let mut client = Wire::new(TcpStream::connect(gateway).await.unwrap());
    let path = format!("/?ROUTENAME=one&do={deed}");
    client.write(upgrade(&path, "")).await;
    let head = client.head().await;
    if head.starts_with("HTTP/1.1 101 ") {
        client.write(masked(0x81, "wrong")).await;
        let rest = tokio::time::timeout(Duration::from_millis(20), client.rest());
        drop(rest.await);
    }
}

async fn talk(gateway: &Running, what: &str) {
    let address = format!("ws://{}/?ROUTENAME=one", gateway.addresses()[0]);
    let mut socket = connect(&address)
        .await
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    socket.send(what).await.unwrap();
    let echo = socket.recv().await.unwrap().unwrap();
    assert_eq!(echo.as_text(), Some(what));
}

/// Whatever one client does to so many upstreams, the next one gets them.
async fn hurts_nobody(way: Way, count: usize) {
    let fakes: Vec<Fake> = (0..count).map(|_| obliging()).collect();
    let urls: Vec<String> = fakes.iter().map(Fake::url).collect();
    let gateway = gateway(way, &urls);
    for deed in DEEDS {
        let address = gateway.addresses()[0];
        let mut many = JoinSet::new();
        for _ in 0..20 {
            many.spawn(misbehave(address, deed));
        }
        many.join_all().await;
        for _ in 0..2 {
            talk(&gateway, &format!("{way:?} {count} {deed}")).await;
        }
    }
    for fake in &fakes {
        assert!(fake.visits() > 9, "each was used to the end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_one_client_does_the_next_gets_the_upstream_byte_by_byte() {
    in_time(async { tokio::join!(hurts_nobody(Way::Bytes, 1), hurts_nobody(Way::Bytes, 2)) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_one_client_does_the_next_gets_the_upstream_by_messages() {
    in_time(async {
        tokio::join!(
            hurts_nobody(Way::Messages, 1),
            hurts_nobody(Way::Messages, 2)
        )
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_one_client_does_the_next_gets_the_upstream_with_resume() {
    in_time(async { tokio::join!(hurts_nobody(Way::Resume, 1), hurts_nobody(Way::Resume, 2)) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_answers_nobody_is_ejected_while_another_is_there() {
    let (well, dead) = (
        obliging(),
        Fake::start(|mut wire| async move { drop(wire.head().await) }),
    );
    let gateway = gateway(Way::Bytes, &[well.url(), dead.url()]);
    in_time(async {
        for _ in 0..40 {
            talk(&gateway, "x").await;
        }
        let visits = dead.visits();
        for _ in 0..40 {
            talk(&gateway, "x").await;
        }
        assert_eq!(dead.visits(), visits, "it is left alone");
        assert!(
            visits <= 12,
            "five clients, the gateway itself, and who came meanwhile: {visits}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sole_upstream_that_is_not_reached_is_ejected_and_answers_bring_it_back() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut one = endpoint("one", &[format!("ws://{address}/")]);
    one.ejection = Some(Ejection {
        ejected_for: Duration::from_millis(100),
        ..Ejection::default()
    });
    let gateway = start(settings(vec![one])).unwrap();
    let url = format!("ws://{}/?ROUTENAME=one", gateway.addresses()[0]);
    in_time(async {
        let status = async || {
            let refused = Client::new(&url)
                .unwrap()
                .connect_or_refusal()
                .await
                .unwrap();
            match refused {
                tidewire::ws::HandshakeAnswer::Refused { head, .. } => head.status(),
                other => panic!("{other:?}"),
            }
        };
        while status().await != 503 {}
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut wire = Wire::new(stream);
        let head = wire.head().await;
        assert!(
            head.contains("Upgrade: websocket"),
            "the gateway asks: {head}"
        );
        wire.write("HTTP/1.0 404\r\n\r\n").await;
        drop(wire);
        let client = connect(&url);
        let serve = async {
            while let Ok((stream, _)) = listener.accept().await {
                let mut wire = Wire::new(stream);
                let head = wire.head().await;
                wire.write(switching(&head)).await;
                drop(wire.rest().await);
            }
        };
        tokio::select! {
            opened = client => drop(opened.unwrap()),
            () = serve => {}
        }
    })
    .await;
}

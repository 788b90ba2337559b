//! The memory that clients make the gateway hold together has one budget, and so have connections to backends.
//!
//! Kinds of memory that is held: queues to backends that are away or read nothing, for each dialect; the copies of messages for a
//! resume; messages that clients have begun. Each is let go of with its client, when that had to make room. Those of a single socket are tested with the library.

use std::net::SocketAddr;

use tidewire::{
    mux::{self, OpenError},
    ws::{CloseCode, Kind, Message, RunningServer, WebSocket, connect},
};
use tidewire_gateway::{
    Running,
    settings::{Endpoint, Overflow, Resume, Settings},
    start,
};

use crate::{
    admin::{get, serve, with_admin},
    support::{echoing, endpoint, in_time, settings, stuck_and_echo, url},
};

const BUDGET: usize = 8 << 20;

fn with_budget(endpoints: Vec<Endpoint>) -> Settings {
    let mut settings = settings(endpoints);
    settings.limits.memory_bytes_max = Some(BUDGET);
    settings.limits.memory_per_connection_max = Some(BUDGET / 2);
    settings
}

/// `count` endpoints whose backends are away, and one that echoes.
fn away(count: usize) -> (RunningServer, Vec<Endpoint>) {
    let backend = echoing();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url_of_nobody = format!("ws://{}/", nobody.local_addr().unwrap());
    let mut endpoints: Vec<_> = (0..count)
        .map(|number| {
            endpoint(
                &format!("away{number}"),
                std::slice::from_ref(&url_of_nobody),
            )
        })
        .collect();
    endpoints.push(endpoint("echo", &[url(&backend, "/")]));
    (backend, endpoints)
}

fn address(gateway: &Running) -> String {
    format!("ws://{}/", gateway.addresses()[0])
}

async fn innocent(gateway: &Running) -> WebSocket {
    let url = format!("{}?ROUTENAME=echo", address(gateway));
    let mut socket = connect(&url).await.unwrap();
    is_served(&mut socket).await;
    socket
}

async fn is_served(socket: &mut WebSocket) {
    socket.send("hello").await.unwrap();
    let answer = socket.recv().await.unwrap().unwrap();
    assert_eq!(answer.as_text(), Some("hello"));
}

/// A client that speaks `SMHandshake`.
async fn classic(gateway: &Running) -> WebSocket {
    let mut socket = connect(&address(gateway)).await.unwrap();
    for text in ["SYN", "ACK"] {
        let message = format!(r#"{{"event":"SMHandshake","data":"{text}"}}"#);
        socket.send(message).await.unwrap();
    }
    socket.recv().await.unwrap().unwrap();
    socket.send(r#"{"event":"SMHandshakeEnd"}"#).await.unwrap();
    socket.recv().await.unwrap().unwrap();
    socket
}

/// A large message to one of 64 backends that are away.
fn to_all(number: usize) -> Message {
    let text = "x".repeat(400_000);
    Message::from(format!("ROUTENAME=away{}\n{text}", number % 64))
}

/// Bytes that the budget counts.
async fn held(admin: SocketAddr) -> usize {
    let metrics = get(admin, "/metrics").await.body;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("tidewire_gateway_memory_held_bytes "));
    line.expect("a figure").parse().unwrap()
}

async fn until_nothing_is_held(admin: SocketAddr) {
    while held(admin).await > 0 {
        tokio::task::yield_now().await;
    }
}

/// Sends until it is closed; the code.
async fn closed(socket: &mut WebSocket, message: impl Fn(usize) -> Message) -> CloseCode {
    for number in 0..400 {
        if socket.send(message(number)).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    while let Ok(Some(_error)) = socket.recv().await {}
    socket.close_frame().expect("a close frame came").code
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_whose_backends_are_away_hold_no_more_than_a_share() {
    let (_backend, endpoints) = away(64);
    let (gateway, admin) = serve(with_admin(with_budget(endpoints), None));
    in_time(async {
        let mut other = innocent(&gateway).await;
        // More together than the budget: what each held is free again when it is closed.
        for _ in 0..4 {
            let mut socket = classic(&gateway).await;
            let code = closed(&mut socket, to_all).await;
            assert_eq!(code, CloseCode::TRY_AGAIN_LATER);
            until_nothing_is_held(admin).await;
        }
        is_served(&mut other).await;
    })
    .await;
    assert!(gateway.stop().await);
}

/// What clients have left for backends that are away is still delivered, as long as nobody else needs the room.
#[tokio::test(flavor = "multi_thread")]
async fn what_clients_that_have_gone_left_behind_makes_room() {
    let (_backend, endpoints) = away(64);
    let (gateway, admin) = serve(with_admin(with_budget(endpoints), None));
    in_time(async {
        let mut other = innocent(&gateway).await;
        for _ in 0..6 {
            let mut socket = classic(&gateway).await;
            for number in 0..8 {
                socket.send(to_all(number)).await.unwrap();
            }
            // Its answer tells that all were taken.
            let frame = socket.close(CloseCode::NORMAL, "").await.unwrap();
            assert_eq!(frame.expect("an answer").code, CloseCode::NORMAL);
            let held = held(admin).await;
            assert!(held <= BUDGET + BUDGET / 4, "{held}");
        }
        is_served(&mut other).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_for_lost_backends_counts_for_the_client_that_sent_it() {
    let (backend, endpoints) = stuck_and_echo();
    let mut settings = with_budget(endpoints);
    for endpoint in &mut settings.endpoints {
        let mut other = Endpoint::clone(endpoint);
        other.resume = Some(Resume {
            bytes_max: 64 << 20,
            messages_max: 100_000,
            overflow: Overflow::Wait,
            ..Resume::default()
        });
        *endpoint = std::sync::Arc::new(other);
    }
    let gateway = start(settings).unwrap();
    in_time(async {
        let mut other = innocent(&gateway).await;
        let url = format!("{}?ROUTENAME=stuck", address(&gateway));
        let mut socket = connect(&url).await.unwrap();
        let code = closed(&mut socket, |_| Message::binary(vec![7; 100_000])).await;
        assert_eq!(code, CloseCode::TRY_AGAIN_LATER);
        is_served(&mut other).await;
    })
    .await;
    assert!(gateway.stop().await);
    drop(backend);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_begins_messages_and_ends_none_makes_room() {
    let (_backend, endpoints) = away(0);
    let mut settings = with_budget(endpoints);
    let echo = std::sync::Arc::make_mut(&mut settings.endpoints[0]);
    echo.rates.message_bytes_max = 16 << 20;
    let gateway = start(settings).unwrap();
    in_time(async {
        let mut other = innocent(&gateway).await;
        let mut crowd = Vec::new();
        for _ in 0..8 {
            // The dialect puts its messages together.
            let mut socket = connect(&address(&gateway)).await.unwrap();
            let begun = vec![b'x'; 1_800_000];
            socket.try_send_fragment(Kind::Text, &begun, false).unwrap();
            socket.flush().await.ok();
            crowd.push(socket);
        }
        let mut closed = 0;
        for mut socket in crowd {
            let end = tokio::time::timeout(std::time::Duration::from_millis(200), socket.recv());
            if end.await.is_ok() {
                let code = socket.close_frame().expect("a close frame came").code;
                assert_eq!(code, CloseCode::TRY_AGAIN_LATER);
                closed += 1;
            }
        }
        assert!((3..8).contains(&closed), "{closed}");
        is_served(&mut other).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logical_sockets_take_the_places_of_backend_connections_and_leave_some_to_others() {
    let (_backend, endpoints) = away(0);
    let mut settings = settings(endpoints);
    settings.limits.backend_connections_max = 3;
    settings.limits.backend_connections_per_ip_max = 2;
    let gateway = start(settings).unwrap();
    in_time(async {
        let client = mux::connect(&address(&gateway)).await.unwrap();
        let first = client.endpoint("echo").await.unwrap();
        let _second = client.endpoint("echo").await.unwrap();
        let refused = client.endpoint("echo").await.unwrap_err();
        assert!(
            matches!(refused, OpenError::Rejected { status: 429, .. }),
            "{refused:?}"
        );
        let url = format!("{}?ROUTENAME=echo", address(&gateway));
        assert!(connect(&url).await.is_err(), "pinned ones count, too");
        drop(first);
        let again = loop {
            match client.endpoint("echo").await {
                Ok(socket) => break socket,
                Err(OpenError::Rejected { status: 429, .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        drop(again);
    })
    .await;
}

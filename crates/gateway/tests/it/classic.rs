//! Clients that speak `SMHandshake`, as `SocketMaster`'s README says.

use std::time::Duration;

use tidewire::ws::{CloseCode, Server, ServerConfig, WebSocket, connect};
use tidewire_gateway::{Running, start};

use crate::support::{echo, endpoint, in_time, missed, settings, stuck_and_echo, url};

async fn say(socket: &mut WebSocket, text: &str) -> String {
    socket.send(text).await.unwrap();
    hear(socket).await
}

async fn hear(socket: &mut WebSocket) -> String {
    let message = socket.recv().await.unwrap().unwrap();
    message.as_text().unwrap().to_owned()
}

async fn open(gateway: &Running) -> WebSocket {
    connect(&format!("ws://{}/", gateway.addresses()[0]))
        .await
        .unwrap()
}

async fn ready(gateway: &Running) -> WebSocket {
    let mut socket = open(gateway).await;
    for text in ["SYN", "ACK"] {
        socket
            .send(format!(r#"{{"event":"SMHandshake","data":"{text}"}}"#))
            .await
            .unwrap();
    }
    hear(&mut socket).await;
    say(&mut socket, r#"{"event":"SMHandshakeEnd"}"#).await;
    socket
}

/// Parity: M-08, M-09, M-30.
#[tokio::test(flavor = "multi_thread")]
async fn the_dialogue_of_the_readme() {
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
    let server = Server::new(config).route("/", echo).start().unwrap();
    let endpoints = ["endpoint1", "endpoint2"].map(|name| endpoint(name, &[url(&server, "/")]));
    let gateway = start(settings(endpoints.into())).unwrap();
    in_time(async {
        let mut socket = open(&gateway).await;
        let answer = say(&mut socket, "{event: SMHandshake, data: SYN}").await;
        assert_eq!(answer, "{event: SMHandshake, data: SYN/ACK}");
        socket
            .send("{event: SMHandshake, data: ACK}")
            .await
            .unwrap();
        let answer = say(&mut socket, "{event: SMHandshake, data: Endpoint1}").await;
        assert_eq!(answer, "{event: SMHandshake, data: ACK}");
        let answer = say(&mut socket, "{event: SMHandshake, data: other}").await;
        assert_eq!(answer, "{event: SMHandshake, data: NACK}");
        let answer = say(&mut socket, "{event: SMHandshakeEnd}").await;
        assert_eq!(answer, "{event: SMHandshakeEnd, data: ACK}");
        let answer = say(&mut socket, "ROUTENAME=Endpoint1\nhello").await;
        assert_eq!(answer, "ROUTENAME=Endpoint1\nhello");
        let answer = say(&mut socket, "ROUTENAME=endpoint2\r\n\r\nROUTENAME=x\nspoof").await;
        assert_eq!(answer, "ROUTENAME=endpoint2\r\nROUTENAME=x\nspoof");
        socket
            .send(b"ROUTENAME=endpoint2\n\x00\xff".to_vec())
            .await
            .unwrap();
        let binary = socket.recv().await.unwrap().unwrap();
        assert_eq!(&binary.payload()[..], b"ROUTENAME=endpoint2\n\x00\xff");
        let answer = say(&mut socket, "ROUTENAME=other\nhello").await;
        assert!(
            answer.contains("SMError") && answer.contains("no such route"),
            "{answer}"
        );
        let answer = say(&mut socket, "no line").await;
        assert!(answer.contains("SMError"), "{answer}");
        socket.close(CloseCode::NORMAL, "").await.unwrap();
    })
    .await;
    assert!(in_time(gateway.stop()).await);
}

/// Parity: M-27.
#[tokio::test(flavor = "multi_thread")]
async fn silence_and_wrong_order_are_told_and_closed() {
    let mut settings = settings(vec![endpoint("one", &["ws://127.0.0.1:1/".into()])]);
    settings.classic.handshake_timeout = Duration::from_millis(50);
    let gateway = start(settings).unwrap();
    in_time(async {
        let mut silent = open(&gateway).await;
        assert!(hear(&mut silent).await.contains("SMError"));
        assert!(silent.recv().await.unwrap().is_none());
        assert_eq!(silent.close_frame().unwrap().code, CloseCode(4408));
        let mut early = open(&gateway).await;
        let answer = say(&mut early, r#"{"event":"SMHandshakeEnd"}"#).await;
        assert!(answer.contains("SMError"));
        assert!(early.recv().await.unwrap().is_none());
        assert_eq!(early.close_frame().unwrap().code, CloseCode(4400));
    })
    .await;
}

/// Parity: M-03, M-31.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_survives_its_backend_and_other_routes_notice_nothing() {
    let build = |address: &str| {
        let config = ServerConfig::new(address.parse().unwrap());
        Server::new(config).route("/", echo).start().unwrap()
    };
    let (dying, living) = (build("127.0.0.1:0"), build("127.0.0.1:0"));
    let address = dying.local_addr().to_string();
    let endpoints = vec![
        endpoint("dying", &[url(&dying, "/")]),
        endpoint("living", &[url(&living, "/")]),
    ];
    let gateway = start(settings(endpoints)).unwrap();
    in_time(async {
        let mut socket = ready(&gateway).await;
        say(&mut socket, "ROUTENAME=dying\n1").await;
        dying.drain(Duration::ZERO).await;
        missed(address.parse().unwrap()).await;
        for number in 2..10 {
            socket
                .send(format!("ROUTENAME=dying\n{number}"))
                .await
                .unwrap();
        }
        let answer = say(&mut socket, "ROUTENAME=living\nx").await;
        assert_eq!(answer, "ROUTENAME=living\nx");
        let _again = build(&address);
        for number in 2..10 {
            assert_eq!(
                hear(&mut socket).await,
                format!("ROUTENAME=dying\n{number}")
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_route_refuses_messages_one_by_one_and_delays_no_other() {
    let (_server, endpoints) = stuck_and_echo();
    let gateway = start(settings(endpoints)).unwrap();
    in_time(async {
        let mut socket = ready(&gateway).await;
        let big = format!("ROUTENAME=stuck\n{}", "x".repeat(500_000));
        let mut refused = false;
        for _ in 0..1000 {
            socket.send(big.as_str()).await.unwrap();
            let answer = say(&mut socket, "ROUTENAME=echo\nx").await;
            if answer.contains("queue full") {
                refused = true;
                assert_eq!(hear(&mut socket).await, "ROUTENAME=echo\nx");
                break;
            }
            assert_eq!(answer, "ROUTENAME=echo\nx");
        }
        assert!(refused);
    })
    .await;
}

//! Clients that speak `tidewire.mux.v1`.

use std::time::Duration;

use tidewire::{
    mux::{self, OpenError},
    ws::{CloseCode, Message, Server, ServerConfig, WebSocket},
};
use tidewire_gateway::{settings::Resume, start};

use crate::support::{echo, endpoint, in_time, settings, stuck_and_echo, telling, url};

#[tokio::test(flavor = "multi_thread")]
async fn many_sockets_over_one_connection_each_to_its_endpoint() {
    let backend = telling();
    let endpoints =
        ["one", "two"].map(|name| endpoint(name, &[url(&backend, &format!("/{name}"))]));
    let running = start(settings(endpoints.into())).unwrap();
    let address = format!("ws://{}/", running.addresses()[0]);
    in_time(async {
        let client = mux::connect(&address).await.unwrap();
        let mut one = client
            .endpoint("ONE")
            .query("a=1")
            .subprotocol("chat.v1")
            .await
            .unwrap();
        let mut two = client.endpoint("two").await.unwrap();
        assert_eq!(one.subprotocol(), Some("chat.v1"));
        assert_eq!(two.subprotocol(), None);
        for (socket, line) in [
            (&mut one, "GET /one?a=1 HTTP/1.1"),
            (&mut two, "GET /two HTTP/1.1"),
        ] {
            let told = socket.recv().await.unwrap().unwrap();
            assert_eq!(told.as_text().unwrap().lines().next(), Some(line));
            for len in [0, 1, 16_384, 16_385, 300_000] {
                let message = Message::binary(vec![7; len]);
                socket.send(message.clone()).await.unwrap();
                assert_eq!(socket.recv().await.unwrap(), Some(message));
                socket.send("é".repeat(len)).await.unwrap();
                let echo = socket.recv().await.unwrap().unwrap();
                assert_eq!(echo.as_text().unwrap().len(), 2 * len);
            }
        }
        let answer = one.close(CloseCode(4000), "bye").await.unwrap();
        drop(answer);
        two.send("still here").await.unwrap();
        assert_eq!(
            two.recv().await.unwrap().unwrap().as_text(),
            Some("still here")
        );
        let unknown = client.endpoint("three").await.unwrap_err();
        assert!(
            matches!(unknown, OpenError::Rejected { status: 404, .. }),
            "{unknown:?}"
        );
        client.close(CloseCode::NORMAL, "").await;
    })
    .await;
    assert!(in_time(running.stop()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backends_close_reaches_only_its_socket() {
    let closing = |mut socket: WebSocket| async move {
        socket.recv().await.ok();
        socket.close(CloseCode(4321), "enough").await.ok();
    };
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
    let server = Server::new(config)
        .route("/closing", closing)
        .route("/echo", echo);
    let server = server.start().unwrap();
    let endpoints =
        ["closing", "echo"].map(|name| endpoint(name, &[url(&server, &format!("/{name}"))]));
    let running = start(settings(endpoints.into())).unwrap();
    in_time(async {
        let client = mux::connect(&format!("ws://{}/", running.addresses()[0]))
            .await
            .unwrap();
        let mut closing = client.endpoint("closing").await.unwrap();
        let mut echo = client.endpoint("echo").await.unwrap();
        closing.send("x").await.unwrap();
        assert!(closing.recv().await.unwrap().is_none());
        let frame = closing.close_frame().unwrap();
        assert_eq!((frame.code, &*frame.reason), (CloseCode(4321), "enough"));
        echo.send("y").await.unwrap();
        assert!(echo.recv().await.unwrap().is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_backend_delays_no_other_socket_and_its_own_sender_waits_for_credit() {
    let (_server, endpoints) = stuck_and_echo();
    let running = start(settings(endpoints)).unwrap();
    in_time(async {
        let client = mux::connect(&format!("ws://{}/", running.addresses()[0]))
            .await
            .unwrap();
        let stuck = client.endpoint("stuck").await.unwrap();
        let mut echo = client.endpoint("echo").await.unwrap();
        let flood = async {
            // More than all buffers of the systems between take.
            for _ in 0..100_000 {
                if stuck.send(vec![0; 16_384]).await.is_err() {
                    break;
                }
            }
            unreachable!("1.6 GB fit nowhere");
        };
        let talk = async {
            for number in 0..2000 {
                let text = number.to_string();
                echo.send(text.as_str()).await.unwrap();
                assert_eq!(echo.recv().await.unwrap().unwrap().as_text(), Some(&*text));
            }
        };
        tokio::select! {
            () = flood => {}
            () = talk => {}
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_backend_is_told_and_messages_sent_meanwhile_arrive() {
    let build = |address: &str| {
        let config = ServerConfig::new(address.parse().unwrap());
        Server::new(config).route("/", echo).start().unwrap()
    };
    let backend = build("127.0.0.1:0");
    let address = backend.local_addr().to_string();
    let mut endpoint = endpoint("one", &[format!("ws://{address}/")]);
    endpoint.resume = Some(Resume {
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(20),
        ..Resume::default()
    });
    let running = start(settings(vec![endpoint])).unwrap();
    in_time(async {
        let client = mux::connect(&format!("ws://{}/", running.addresses()[0]))
            .await
            .unwrap();
        let mut socket = client.endpoint("one").await.unwrap();
        socket.send("before").await.unwrap();
        socket.recv().await.unwrap().unwrap();
        backend.drain(Duration::ZERO).await;
        let down = socket.recv_any().await.unwrap().unwrap();
        assert!(matches!(down, mux::Event::Down { .. }), "{down:?}");
        for number in 0..100 {
            socket
                .send(format!("{number} {}", "x".repeat(1000)))
                .await
                .ok();
            if number == 20 {
                break;
            }
        }
        let _backend = build(&address);
        let mut up = false;
        let mut next = 0;
        while next <= 20 {
            match socket.recv_any().await.unwrap().unwrap() {
                mux::Event::Up => up = true,
                mux::Event::Message(message) => {
                    assert!(up);
                    assert!(message.as_text().unwrap().starts_with(&format!("{next} ")));
                    next += 1;
                }
                _down => {}
            }
        }
        socket.close(CloseCode::NORMAL, "").await.ok();
    })
    .await;
}

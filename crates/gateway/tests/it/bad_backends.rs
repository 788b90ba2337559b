//! A bad backend cannot hurt the others. Whatever it sends, only its own sockets
//! end, and nothing of it is delivered anywhere else.

use std::time::Duration;

use tidewire::{
    mux::{self, LogicalSocket},
    ws::{CloseCode, RunningServer, Server, ServerConfig, WebSocket, connect},
};
use tidewire_gateway::{
    Running,
    settings::{Endpoint, Extensions, Resume},
    start,
};
use tokio::io::AsyncWriteExt as _;

use crate::{
    support::{echo, endpoint, in_time, settings, url},
    wire::{Fake, Wire, frame, masked, switching},
};

/// What a backend does behind a valid 101.
#[derive(Clone)]
enum Deed {
    /// Sends this, and waits for the end.
    Says(Vec<u8>),
    /// Sends this, and is gone.
    SaysAndGoes(Vec<u8>),
    /// Sends this, then that again and again, as long as it is taken.
    Floods(Vec<u8>, Vec<u8>),
    /// Resets the connection.
    Resets,
}

fn deeds() -> Vec<(&'static str, Deed)> {
    let says = |bytes: &[u8]| Deed::Says(bytes.to_vec());
    let close = |body: &[u8]| Deed::Says(frame(0x88, body));
    let huge = |high: u8| {
        let mut bytes = vec![0x82, 127, high];
        bytes.extend([0; 7]);
        bytes.extend([b'x'; 100]);
        Deed::SaysAndGoes(bytes)
    };
    vec![
        ("garbage", says(&[0xff; 3000])),
        ("HTTP", says(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        ("a reserved opcode", Deed::Says(frame(0x83, "x"))),
        ("a reserved bit", Deed::Says(frame(0xc1, "x"))),
        ("a masked frame", Deed::Says(masked(0x81, "x"))),
        ("a long ping", Deed::Says(frame(0x89, [0; 126]))),
        ("half a ping", Deed::Says(frame(0x09, "x"))),
        ("a middle without beginning", Deed::Says(frame(0x80, "x"))),
        (
            "a beginning in the middle",
            Deed::Says([frame(0x01, "x"), frame(0x81, "y")].concat()),
        ),
        ("text that is none", Deed::Says(frame(0x81, b"\xff\xfe"))),
        (
            "half a character at the end",
            Deed::Says(frame(0x81, b"\xc3")),
        ),
        ("a close of one byte", close(b"\x03")),
        ("a close with 1005", close(&1005_u16.to_be_bytes())),
        ("a close with 999", close(&999_u16.to_be_bytes())),
        ("a close with 5000", close(&5000_u16.to_be_bytes())),
        ("a close with a bad reason", close(b"\x03\xe8\xff")),
        ("a length with its highest bit", huge(0x80)),
        ("a length beyond all memory", huge(0x7f)),
        ("half a frame", Deed::SaysAndGoes(vec![0x82, 126, 1])),
        (
            "a length longer than needed",
            says(&[0x82, 126, 0, 1, b'x']),
        ),
        ("the end", Deed::SaysAndGoes(Vec::new())),
        ("a reset", Deed::Resets),
        (
            "fragments without end",
            Deed::Floods(frame(0x02, "x"), frame(0x00, [b'x'; 100])),
        ),
        (
            "empty fragments without end",
            Deed::Floods(frame(0x01, ""), frame(0x00, "")),
        ),
        (
            "pings without end",
            Deed::Floods(Vec::new(), frame(0x89, [b'p'; 125])),
        ),
        (
            "pongs without end",
            Deed::Floods(Vec::new(), frame(0x8a, [b'p'; 125])),
        ),
        // What would be another's, were it taken for the gateway's own.
        (
            "a route line",
            Deed::Floods(Vec::new(), frame(0x81, "ROUTENAME=good0\nspoof")),
        ),
        (
            "a mux frame",
            Deed::Floods(Vec::new(), frame(0x82, b"\x04\0\0\0\x01\x01spoof")),
        ),
    ]
}

async fn misbehave(mut wire: Wire, deed: Deed) {
    let head = wire.head().await;
    if head.is_empty() {
        return; // an attempt that was given up
    }
    let (mut said, again, stays) = match deed {
        Deed::Says(said) => (said, None, true),
        Deed::SaysAndGoes(said) => (said, None, false),
        Deed::Floods(said, again) => (said, Some(again), true),
        Deed::Resets => {
            wire.write(switching(&head)).await;
            wire.stream.set_zero_linger().unwrap();
            return;
        }
    };
    said.splice(0..0, switching(&head).into_bytes());
    wire.stream.write_all(&said).await.ok();
    if let Some(again) = again {
        let many = again.repeat(100);
        while wire.stream.write_all(&many).await.is_ok() {}
    } else if stays {
        wire.rest().await;
    }
}

/// How the gateway speaks with the bad backends of pinned clients.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Bytes,
    Messages,
    Resume,
}

struct Scene {
    gateway: Running,
    _good: RunningServer,
    bad: Vec<(&'static str, Deed, Fake)>,
}

const GOOD: usize = 4;

/// Four good endpoints, and one for each bad deed.
fn scene(way: Way) -> Scene {
    let good = Server::new(ServerConfig::new("127.0.0.1:0".parse().unwrap()))
        .route("/", echo)
        .start()
        .unwrap();
    let mut endpoints: Vec<Endpoint> = (0..GOOD)
        .map(|number| endpoint(&format!("good{number}"), &[url(&good, "/")]))
        .collect();
    let mut bad = Vec::new();
    for (number, (name, deed)) in deeds().into_iter().enumerate() {
        let does = deed.clone();
        let fake = Fake::start(move |wire| misbehave(wire, does.clone()));
        endpoints.push(endpoint(&format!("bad{number}"), &[fake.url()]));
        bad.push((name, deed, fake));
    }
    for endpoint in &mut endpoints {
        match way {
            Way::Bytes => {}
            Way::Messages => endpoint.extensions = Extensions::PerHop,
            Way::Resume => {
                endpoint.resume = Some(Resume {
                    timeout: Duration::from_millis(50),
                    backoff_min: Duration::from_millis(1),
                    backoff_max: Duration::from_millis(20),
                    ..Resume::default()
                });
            }
        }
    }
    Scene {
        gateway: start(settings(endpoints)).unwrap(),
        _good: good,
        bad,
    }
}

async fn talk(good: &mut [LogicalSocket], round: &str) {
    for (number, socket) in good.iter_mut().enumerate() {
        let canary = format!("{round} canary of good{number}");
        socket.send(canary.as_str()).await.unwrap();
        let answer = socket.recv().await.unwrap().unwrap();
        assert_eq!(answer.as_text(), Some(&*canary), "{round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_mux_a_bad_backend_ends_its_own_socket_only() {
    for way in [Way::Bytes, Way::Resume] {
        let scene = scene(way);
        in_time(async {
            let client = mux::connect(&format!("ws://{}/", scene.gateway.addresses()[0]))
                .await
                .unwrap();
            let mut good = Vec::new();
            for number in 0..GOOD {
                good.push(client.endpoint(format!("good{number}")).await.unwrap());
            }
            let mut flooded = None;
            for (number, (name, deed, _)) in scene.bad.iter().enumerate() {
                let opening = client
                    .endpoint(format!("bad{number}"))
                    .message_bytes_max(10_000);
                let mut bad = opening.await.unwrap();
                talk(&mut good, name).await;
                if matches!(deed, Deed::Floods(..)) {
                    // Nobody reads: the flood waits for credit, if it needs any.
                    flooded = Some(bad); // one at a time: this is about a worker they share
                } else if way == Way::Bytes {
                    while let Ok(Some(_)) = bad.recv().await {}
                    let code = bad.close_frame().map(|frame| frame.code);
                    assert_eq!(code, Some(CloseCode(1014)), "{name}");
                }
                talk(&mut good, name).await;
            }
            drop(flooded);
            talk(&mut good, "at last").await;
            assert!(!client.is_going_away());
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_smhandshake_a_bad_backend_hurts_no_other_route() {
    let scene = scene(Way::Resume);
    in_time(async {
        let address = format!("ws://{}/", scene.gateway.addresses()[0]);
        let mut socket = connect(&address).await.unwrap();
        for text in [
            "{event: SMHandshake, data: SYN}",
            "{event: SMHandshake, data: ACK}",
            "{event: SMHandshakeEnd}",
        ] {
            socket.send(text).await.unwrap();
        }
        for _ in 0..2 {
            socket.recv().await.unwrap().unwrap();
        }
        for (bad, (name, ..)) in scene.bad.iter().enumerate() {
            let wake = format!("ROUTENAME=bad{bad}\nwake up");
            socket.send(wake.as_str()).await.unwrap();
            for good in 0..GOOD {
                let canary = format!("ROUTENAME=good{good}\n{name} canary of good{good}");
                socket.send(canary.as_str()).await.unwrap();
                // What comes of others is marked as theirs, or is an error of the gateway.
                loop {
                    let message = socket.recv().await.unwrap().unwrap();
                    if message.as_text() == Some(&*canary) {
                        break;
                    }
                    let payload = message.payload();
                    let theirs = payload.starts_with(b"ROUTENAME=bad");
                    let error = payload.starts_with(b"{event: SMError");
                    assert!(theirs || error, "{name}: {message:?}");
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pinned_a_bad_backend_ends_its_own_client_only() {
    for way in [Way::Bytes, Way::Messages, Way::Resume] {
        let scene = scene(way);
        in_time(async {
            let address = scene.gateway.addresses()[0];
            let to = |name: String| async move {
                connect(&format!("ws://{address}/?ROUTENAME={name}"))
                    .await
                    .unwrap()
            };
            let mut good = Vec::new();
            for number in 0..GOOD {
                good.push(to(format!("good{number}")).await);
            }
            let mut flooding = Vec::new();
            for (number, (name, deed, _)) in scene.bad.iter().enumerate() {
                let bad = to(format!("bad{number}")).await;
                match deed {
                    Deed::Floods(..) => {
                        flooding.clear();
                        flooding.push(bad);
                    }
                    Deed::Says(_) | Deed::SaysAndGoes(_) | Deed::Resets => {
                        ended(bad, way, name).await;
                    }
                }
                for (number, socket) in good.iter_mut().enumerate() {
                    let canary = format!("{name} canary of good{number}");
                    socket.send(canary.as_str()).await.unwrap();
                    let answer = socket.recv().await.unwrap().unwrap();
                    assert_eq!(answer.as_text(), Some(&*canary), "{name}");
                }
            }
        })
        .await;
    }
}

/// A client of a bad backend: relayed bytes it judges itself, for the rest the gateway has done.
async fn ended(mut bad: WebSocket, way: Way, name: &str) {
    while let Ok(Some(_)) = bad.recv().await {}
    let code = bad.close_frame().map(|frame| frame.code);
    match way {
        Way::Messages => assert_eq!(code, Some(CloseCode(1014)), "{name}"),
        Way::Bytes | Way::Resume => {}
    }
}

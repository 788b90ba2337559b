//! Frames that carry nothing, by the thousand, from a peer that makes every byte itself.
//!
//! Of this kind are tried: SETTINGS, PING, their acknowledgements, `WINDOW_UPDATE` of the connection, PRIORITY, and
//! frames of a type that nobody knows. Streams that are opened and reset, CONTINUATION and small DATA frames have bounds
//! of their own in the `h2` crate.

use tidewire::ws::{ControlRate, RunningServer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{client, connect, echoes, start, start_with, within};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).unwrap();
    [&[0, 0, len, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// The code of the GOAWAY that the server answers `flood` with; `None` if it answers a ping behind it.
async fn answer(server: &RunningServer, flood: &[u8]) -> Option<u32> {
    let tcp = TcpStream::connect(server.local_addr()).await.unwrap();
    let (mut read, mut write) = tcp.into_split();
    let last = frame(6, 0, 0, b"the last");
    let bytes = [PREFACE, &frame(4, 0, 0, &[]), flood, &last].concat();
    let writing = tokio::spawn(async move {
        // The server may have heard enough.
        write.write_all(&bytes).await.ok();
        write
    });
    let answer = within(async {
        loop {
            let mut header = [0; 9];
            read.read_exact(&mut header).await.expect("GOAWAY");
            let len = u32::from_be_bytes([0, header[0], header[1], header[2]]);
            let mut payload = vec![0; usize::try_from(len).unwrap()];
            read.read_exact(&mut payload).await.expect("a whole frame");
            match header[3] {
                7 => break Some(u32::from_be_bytes(payload[4..8].try_into().unwrap())),
                6 if payload == b"the last" => break None,
                _ => {}
            }
        }
    })
    .await;
    drop(within(writing).await.unwrap());
    answer
}

fn kinds() -> [(&'static str, Vec<u8>); 7] {
    [
        ("SETTINGS", frame(4, 0, 0, &[])),
        ("a setting", frame(4, 0, 0, &[0, 4, 0, 1, 0, 0])),
        ("PING", frame(6, 0, 0, b"12345678")),
        ("the answer to a ping", frame(6, 1, 0, b"12345678")),
        ("WINDOW_UPDATE", frame(8, 0, 0, &[0, 0, 0, 1])),
        ("PRIORITY", frame(2, 0, 1, &[0, 0, 0, 0, 1])),
        ("an unknown frame", frame(0x42, 0, 0, &[])),
    ]
}

const ENHANCE_YOUR_CALM: u32 = 0xb;

#[tokio::test]
async fn frames_that_carry_nothing_end_the_connection_when_they_are_too_many() {
    let server = start();
    for (name, one) in kinds() {
        assert_eq!(answer(&server, &one.repeat(500)).await, None, "{name}");
        let end = answer(&server, &one.repeat(20_000)).await;
        assert_eq!(end, Some(ENHANCE_YOUR_CALM), "{name}");
    }
    // Others are served.
    let connection = connect(&server).await;
    let mut socket = connection.open(&client(&server, "/echo")).await.unwrap();
    echoes(&mut socket, "hello").await;
}

#[tokio::test]
async fn the_bound_is_the_rate_of_control_frames() {
    let unbounded = start_with(|config| {
        let mut socket = tidewire::ws::Config::default();
        socket.control_rate = None;
        config.socket = socket.into();
    });
    let (_, ping) = &kinds()[2];
    assert_eq!(answer(&unbounded, &ping.repeat(20_000)).await, None);
    let narrow = start_with(|config| {
        let mut socket = tidewire::ws::Config::default();
        socket.control_rate = Some(ControlRate {
            per_second: 1,
            burst: 20,
        });
        config.socket = socket.into();
    });
    let end = answer(&narrow, &ping.repeat(1000)).await;
    assert_eq!(end, Some(ENHANCE_YOUR_CALM));
}

/// A peer gives its window back for every message.
#[tokio::test]
async fn a_long_conversation_of_short_messages_is_no_flood() {
    let server = start_with(|config| {
        let mut socket = tidewire::ws::Config::default();
        socket.control_rate = Some(ControlRate {
            per_second: 1,
            burst: 50,
        });
        config.socket = socket.into();
    });
    let connection = connect(&server).await;
    let mut socket = connection.open(&client(&server, "/echo")).await.unwrap();
    for _ in 0..2000 {
        echoes(&mut socket, "hello").await;
    }
    for _ in 0..20 {
        echoes(&mut socket, vec![1; 300_000]).await;
    }
}

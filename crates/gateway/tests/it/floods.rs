//! Clients that send frames which carry no data, without end.

use tidewire::{
    mux,
    proto::mux::{Body, DATA_HEADER_BYTES},
    ws::{ControlRate, Message},
};
use tidewire_gateway::{
    Running,
    settings::{Resume, Route, Settings},
    start,
};

use crate::{
    hostile_mux::{MUX, accepted, data, frame, open, until},
    support::{echoing, endpoint, in_time, settings, telling, url},
    wire::{Wire, masked},
};

/// Code and reason of the close frame that ends the connection.
async fn close_frame(wire: &mut Wire) -> (u16, String) {
    loop {
        let raw = wire.frame().await.expect("a close frame");
        if raw.first == 0x88 {
            let code = u16::from_be_bytes([raw.payload[0], raw.payload[1]]);
            return (code, String::from_utf8(raw.payload[2..].to_vec()).unwrap());
        }
    }
}

/// As little as can be had: one frame per second, one at once.
fn strict(settings: &mut Settings) {
    settings.limits.control_rate = Some(ControlRate {
        per_second: 1,
        burst: 1,
    });
    settings.mux.streams_max = 1;
}

#[tokio::test]
async fn a_mux_client_that_floods_is_closed_with_1008_and_another_is_not() {
    let backend = telling();
    let gateway = start(settings(vec![endpoint("one", &[url(&backend, "/")])])).unwrap();
    let flood = |frame: Vec<u8>| frame.repeat(5000);
    let unknown: Vec<u8> = (3..5000).flat_map(|stream| open(stream, "two")).collect();
    let cases = [
        flood(frame(0, Body::Ping(b"x"))),
        flood(frame(1, Body::Ping(b"x"))),
        flood(frame(0, Body::Pong(b"x"))),
        flood(frame(1, Body::Credit(1))),
        [frame(1, Body::Close(None)), flood(data(1, b"late", true))].concat(),
        [
            frame(1, Body::Close(None)),
            flood(frame(1, Body::Credit(1))),
        ]
        .concat(),
        flood(frame(1, Body::Close(None))),
        unknown,
    ];
    in_time(async {
        let mut other = Wire::open(&gateway, "/", MUX).await;
        other.write(open(1, "one")).await;
        until(&mut other, accepted).await;
        for (number, bytes) in cases.into_iter().enumerate() {
            let mut wire = Wire::open(&gateway, "/", MUX).await;
            wire.write(open(1, "one")).await;
            until(&mut wire, accepted).await;
            wire.write(&bytes).await;
            let (code, reason) = close_frame(&mut wire).await;
            let expected = "expected at most 10 frames per second that carry no data";
            assert_eq!((code, reason.as_str()), (1008, expected), "case {number}");
        }
        other.write(data(1, b"still here", true)).await;
        until(&mut other, |_, body| match body {
            Body::Data { payload, .. } => (payload == b"still here").then_some(()),
            _ => None,
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn credit_for_every_frame_of_data_and_every_kibibyte_is_no_flood() {
    let backend = echoing();
    let mut settings = settings(vec![endpoint("one", &[url(&backend, "/")])]);
    strict(&mut settings);
    let gateway = start(settings).unwrap();
    in_time(async {
        let mut wire = Wire::open(&gateway, "/", MUX).await;
        wire.write(open(1, "one")).await;
        until(&mut wire, accepted).await;
        for len in [0, 1, 16_384].repeat(100) {
            wire.write(data(1, &vec![7; len], true)).await;
            let mut last = false;
            while !last {
                let taken = until(&mut wire, |_, body| match body {
                    Body::Data { flags, payload } => {
                        last = flags.last;
                        Some(payload.len())
                    }
                    _ => None,
                })
                .await;
                let rest = u32::try_from(DATA_HEADER_BYTES + taken % 1024).unwrap();
                wire.write(frame(1, Body::Credit(rest))).await;
                for _ in 0..taken / 1024 {
                    wire.write(frame(1, Body::Credit(1024))).await;
                }
            }
        }
        wire.write(data(1, b"still here", true)).await;
        until(&mut wire, |_, body| match body {
            Body::Data { payload, .. } => (payload == b"still here").then_some(()),
            _ => None,
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_never_comes_near_the_limit() {
    let backend = echoing();
    let mut settings = settings(vec![endpoint("one", &[url(&backend, "/")])]);
    strict(&mut settings);
    let running = start(settings).unwrap();
    in_time(async {
        let address = format!("ws://{}/", running.addresses()[0]);
        let client = mux::connect(&address).await.unwrap();
        let mut socket = client.endpoint("one").await.unwrap();
        for len in [0, 1, 1000, 16_385, 300_000].repeat(40) {
            let message = Message::binary(vec![7; len]);
            socket.send(message.clone()).await.unwrap();
            assert_eq!(socket.recv().await.unwrap(), Some(message));
        }
    })
    .await;
}

/// A gateway with a pinned route on every path, whose backend echoes; it reads messages, or only passes bytes on.
fn pinned(reads_messages: bool) -> (Running, tidewire::ws::RunningServer) {
    let backend = echoing();
    let mut one = endpoint("one", &[url(&backend, "/")]);
    one.resume = reads_messages.then(Resume::default);
    let mut settings = settings(vec![one]);
    settings.routes.push(Route {
        endpoint: "one".into(),
        conditions: Vec::new(),
        strip_prefix: None,
        keep_path: false,
        by_name: false,
    });
    strict(&mut settings);
    (start(settings).unwrap(), backend)
}

#[tokio::test]
async fn pings_count_where_the_gateway_reads_messages_and_not_where_it_passes_bytes_on() {
    in_time(async {
        let pings = masked(0x89, b"").repeat(100);
        let (gateway, _backend) = pinned(true);
        let mut wire = Wire::open(&gateway, "/", "").await;
        wire.write(&pings).await;
        let (code, reason) = close_frame(&mut wire).await;
        let expected = "more than 1 control frames per second";
        assert_eq!((code, reason.as_str()), (1008, expected));

        let (gateway, _backend) = pinned(false);
        let mut wire = Wire::open(&gateway, "/", "").await;
        wire.write(&pings).await;
        for _ in 0..100 {
            assert_eq!(wire.frame().await.expect("a pong").first, 0x8a);
        }
    })
    .await;
}

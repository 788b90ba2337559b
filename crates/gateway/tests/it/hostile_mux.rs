//! A hostile client of `tidewire.mux.v1` breaks its own connection, is told what was expected, and
//! takes a bounded amount of memory.

use std::time::Duration;

use tidewire::ws::CloseCode;
use tidewire_gateway::{
    Running,
    settings::{Resume, Settings},
    start,
};
use tidewire_proto::mux::{Body, Close, DataFlags, Frame, Open, Side};
use tokio::sync::mpsc;

use crate::{
    support::{alone, endpoint, in_time, resident, settings, telling, url},
    wire::{Fake, Wire, masked, switching},
};

pub(crate) const MUX: &str = "Sec-WebSocket-Protocol: tidewire.mux.v1\r\n";

pub(crate) fn frame(stream: u32, body: Body<'_>) -> Vec<u8> {
    let frame = Frame { stream, body };
    masked(0x82, frame.encode().unwrap())
}

pub(crate) fn open(stream: u32, name: &str) -> Vec<u8> {
    let open = Open {
        credit: 65_536,
        name,
        query: "",
        subprotocols: Vec::new(),
    };
    frame(stream, Body::Open(open))
}

pub(crate) fn data(stream: u32, payload: &[u8], last: bool) -> Vec<u8> {
    let flags = DataFlags { last, binary: true };
    frame(stream, Body::Data { flags, payload })
}

/// Reads until `find` has found what it looks for among the frames of the gateway.
pub(crate) async fn until<T>(
    wire: &mut Wire,
    mut find: impl FnMut(u32, Body<'_>) -> Option<T>,
) -> T {
    loop {
        let raw = wire.frame().await.expect("a frame");
        assert_eq!(
            raw.first,
            0x82,
            "{:?}",
            String::from_utf8_lossy(&raw.payload)
        );
        let frame = Frame::decode(&raw.payload, Side::Gateway).unwrap();
        if let Some(found) = find(frame.stream, frame.body) {
            return found;
        }
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that `until` takes"
)]
pub(crate) fn accepted(_: u32, body: Body<'_>) -> Option<()> {
    matches!(body, Body::Accept { .. }).then_some(())
}

/// The reason of the close with 1002 that ends the connection.
async fn broken(wire: &mut Wire) -> String {
    loop {
        let raw = wire.frame().await.expect("a close frame");
        if raw.first == 0x88 {
            assert_eq!(raw.payload[..2], 1002_u16.to_be_bytes(), "{raw:?}");
            return String::from_utf8(raw.payload[2..].to_vec()).unwrap();
        }
    }
}

/// A gateway in front of one backend that echoes.
fn echoing() -> (Running, tidewire::ws::RunningServer) {
    let backend = telling();
    let gateway = start(settings(vec![endpoint("one", &[url(&backend, "/")])])).unwrap();
    (gateway, backend)
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn who_breaks_a_rule_is_closed_with_1002_and_told_what_was_expected() {
    let (gateway, _backend) = echoing();
    let raw = |bytes: &[u8]| masked(0x82, bytes);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (masked(0x81, "hello"), "expected binary messages only"),
        (raw(b""), "expected at least 5 bytes"),
        (raw(b"\x04\0\0\0"), "expected at least 5 bytes"),
        (raw(b"\0\0\0\0\x01"), "expected a frame type"),
        (raw(b"\xff\0\0\0\x01"), "expected a frame type"),
        (raw(b"\x02\0\0\0\x01\0\x01\0\0\0"), "from the gateway only"),
        (raw(b"\x0b\0\0\0\0\0\0\0\0"), "from the gateway only"),
        (data(7, b"x", true), "expected a stream of at most 1"),
        (frame(7, Body::Credit(1)), "expected a stream of at most 1"),
        (
            frame(7, Body::Close(None)),
            "expected a stream of at most 1",
        ),
        (open(1, "one"), "expected a stream above 1 in OPEN"),
        (
            raw(b"\x01\0\0\0\0\0\x01\0\0\x01a\0\0\0"),
            "expected a stream other than 0",
        ),
        (raw(b"\x04\0\0\0\0\x01x"), "expected a stream other than 0"),
        (frame(1, Body::Credit(0x7fff_ffff)), "to stay below 2^31"),
        (raw(b"\x05\0\0\0\x01\xff\xff\xff\xff"), "expected"),
        (raw(b"\x05\0\0\0\x01\0\0\0\0"), "expected"),
        (raw(b"\x04\0\0\0\x01\x80x"), "expected"),
        (raw(b"\x06\0\0\0\x01\x03\xed"), "expected"),
        (raw(b"\x06\0\0\0\x01\x03"), "expected"),
        (
            raw(&[7, 0, 0, 0, 0]
                .into_iter()
                .chain([0; 126])
                .collect::<Vec<u8>>()),
            "expected",
        ),
        (
            data(1, &[0; 65_531], true),
            "expected at most 65536 bytes of DATA on stream 1",
        ),
        (
            [data(1, b"x", false), {
                let flags = DataFlags {
                    last: true,
                    binary: false,
                };
                frame(
                    1,
                    Body::Data {
                        flags,
                        payload: b"y",
                    },
                )
            }]
            .concat(),
            "expected all frames of a message to be of one kind",
        ),
        (
            [open(2, "one"), data(2, b"x", true)].concat(),
            "expected only CLOSE before ACCEPT",
        ),
    ];
    in_time(async {
        for (bytes, expected) in cases {
            let mut wire = Wire::open(&gateway, "/", MUX).await;
            wire.write(open(1, "one")).await;
            until(&mut wire, accepted).await;
            wire.write(&bytes).await;
            let reason = broken(&mut wire).await;
            assert!(reason.contains(expected), "{expected:?}: {reason:?}");
            assert!(reason.starts_with("expected "), "{reason:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_late_for_a_stream_that_is_gone_is_ignored() {
    let backend = telling();
    let mut settings = settings(vec![endpoint("one", &[url(&backend, "/")])]);
    settings.limits.control_rate = None;
    let gateway = start(settings).unwrap();
    in_time(async {
        let mut wire = Wire::open(&gateway, "/", MUX).await;
        wire.write(open(1, "one")).await;
        until(&mut wire, accepted).await;
        for _ in 0..1000 {
            let close = Close {
                code: CloseCode::NORMAL,
                reason: "again",
            };
            wire.write(frame(1, Body::Close(Some(close)))).await;
            wire.write(data(1, b"late", true)).await;
            wire.write(frame(1, Body::Credit(1))).await;
        }
        let mut closes = 0;
        wire.write(open(2, "one")).await;
        until(&mut wire, |stream, body| {
            closes += u32::from(stream == 1 && matches!(body, Body::Close(_)));
            (stream == 2).then(|| assert!(matches!(body, Body::Accept { .. })))
        })
        .await;
        assert_eq!(closes, 1, "one CLOSE is answered");
    })
    .await;
}

#[tokio::test]
async fn pings_are_answered_in_order_and_a_client_that_reads_no_pongs_is_read_no_more() {
    let backend = telling();
    let mut settings = settings(vec![endpoint("one", &[url(&backend, "/")])]);
    settings.limits.control_rate = None;
    let gateway = start(settings).unwrap();
    in_time(async {
        let mut wire = Wire::open(&gateway, "/", MUX).await;
        for number in 0..1000_u32 {
            wire.write(frame(0, Body::Ping(&number.to_be_bytes())))
                .await;
        }
        for number in 0..1000_u32 {
            until(&mut wire, |_, body| {
                (body == Body::Pong(&number.to_be_bytes())).then_some(())
            })
            .await;
        }
        let flood = frame(0, Body::Ping(&[7; 125])).repeat(1000);
        let mut sent: usize = 0;
        // What does not fit into the systems' buffers is not taken.
        loop {
            tokio::select! {
                biased;
                () = wire.write(&flood) => {
                    sent += flood.len();
                    assert!(sent < 64 << 20, "the gateway keeps {sent} bytes of pongs");
                }
                () = stuck(&gateway) => break,
            }
        }
    })
    .await;
}

/// Ends once the gateway has had much more time than it needs to take a write.
async fn stuck(gateway: &Running) {
    for _ in 0..20 {
        let mut other = Wire::open(gateway, "/", MUX).await;
        other.write(frame(0, Body::Ping(b"x"))).await;
        until(&mut other, |_, body| {
            (body == Body::Pong(b"x")).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn no_more_streams_than_allowed_are_open_and_others_go_on() {
    let backend = telling();
    let mut settings: Settings = settings(vec![endpoint("one", &[url(&backend, "/")])]);
    settings.mux.streams_max = 5;
    let gateway = start(settings).unwrap();
    in_time(async {
        let mut wire = Wire::open(&gateway, "/", MUX).await;
        for stream in 1..=100 {
            wire.write(open(stream, "one")).await;
        }
        let (mut accepted, mut rejected) = (Vec::new(), 0);
        while accepted.len() + rejected < 100 {
            until(&mut wire, |stream, body| match body {
                Body::Accept { .. } => {
                    accepted.push(stream);
                    Some(())
                }
                Body::Reject { status, reason } => {
                    assert_eq!(
                        (status, reason),
                        (429, "expected at most 5 streams at a time")
                    );
                    rejected += 1;
                    Some(())
                }
                _ => None,
            })
            .await;
        }
        assert_eq!(accepted.len(), 5);
        wire.write(data(accepted[4], b"still here", true)).await;
        until(&mut wire, |_, body| match body {
            Body::Data { payload, .. } => (payload == b"still here").then_some(()),
            _ => None,
        })
        .await;
    })
    .await;
}

/// The rapid reset of HTTP/2 (CVE-2023-44487) in this dialect: a stream that was closed is none any more,
/// its backend is still being opened.
#[tokio::test]
async fn a_storm_of_open_and_close_reaches_a_slow_backend_no_more_often_than_twice_the_streams() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let slow = Fake::start(move |wire| {
        arrived.send(wire).unwrap();
        async {}
    });
    let mut one = endpoint("one", &[slow.url()]);
    one.ejection = None;
    let mut settings = settings(vec![one]);
    settings.mux.streams_max = 10;
    settings.limits.control_rate = None;
    let gateway = start(settings).unwrap();
    in_time(async {
        let mut wire = Wire::open(&gateway, "/", MUX).await;
        let mut refused = 0;
        for stream in 1..=1000 {
            wire.write(open(stream, "one")).await;
            wire.write(frame(stream, Body::Close(None))).await;
        }
        wire.write(frame(0, Body::Ping(b"all"))).await;
        until(&mut wire, |_, body| {
            refused += u32::from(matches!(body, Body::Reject { status: 429, .. }));
            (body == Body::Pong(b"all")).then_some(())
        })
        .await;
        assert_eq!(refused, 980);
        // Once the backend has answered them, there is room again.
        for _ in 0..20 {
            let mut backend = arrivals.recv().await.unwrap();
            let head = backend.head().await;
            backend.write(switching(&head)).await;
            let closed = backend.close_code().await;
            assert_eq!(closed, None, "closed without a code, as the client has");
        }
        let mut stream = 1001;
        loop {
            wire.write(open(stream, "one")).await;
            tokio::select! {
                _backend = arrivals.recv() => break,
                rejected = until(&mut wire, |_, body| {
                    matches!(body, Body::Reject { .. }).then_some(())
                }) => rejected,
            }
            stream += 1;
        }
        assert_eq!(slow.visits(), 21);
    })
    .await;
}

#[tokio::test]
async fn tiny_frames_for_a_backend_that_is_away_take_less_than_64_mib() {
    if !alone("hostile_mux::tiny_frames_for_a_backend_that_is_away_take_less_than_64_mib") {
        return;
    }
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let backend = Fake::start(move |wire| {
        arrived.send(wire).unwrap();
        async {}
    });
    let mut one = endpoint("one", &[backend.url()]);
    one.ejection = None;
    one.resume = Some(Resume {
        backoff_min: Duration::from_mins(10),
        backoff_max: Duration::from_mins(10),
        timeout: Duration::from_hours(1),
        messages_max: usize::MAX,
        ..Resume::default()
    });
    let gateway = start(settings(vec![one])).unwrap();
    in_time(async {
        let mut wire = Wire::open(&gateway, "/", MUX).await;
        let mut backends = Vec::new();
        for stream in 1..=256 {
            wire.write(open(stream, "one")).await;
            let mut backend = arrivals.recv().await.unwrap();
            let head = backend.head().await;
            backend.write(switching(&head)).await;
            backends.push(backend);
            until(&mut wire, accepted).await;
        }
        drop(backends);
        let mut down = 0;
        while down < 256 {
            until(&mut wire, |_, body| {
                matches!(body, Body::Down { .. }).then_some(())
            })
            .await;
            down += 1;
        }
        let before = resident();
        let tiny = |stream| data(stream, b"", true).repeat(65_536 / 6);
        for stream in 1..=256 {
            wire.write(tiny(stream)).await;
        }
        wire.write(frame(0, Body::Ping(b"all"))).await;
        until(&mut wire, |_, body| {
            (body == Body::Pong(b"all")).then_some(())
        })
        .await;
        let grown = resident().saturating_sub(before);
        assert!(grown < 64 << 20, "{grown} bytes for nothing");
        wire.write(data(3, b"", true)).await;
        let reason = broken(&mut wire).await;
        assert!(reason.contains("DATA on stream 3"), "{reason}");
    })
    .await;
}

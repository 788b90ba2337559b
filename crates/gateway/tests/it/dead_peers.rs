//! Peers that are there no more, or only half.

use std::{sync::Arc, time::Duration};

use tidewire_gateway::start;
use tidewire_proto::{CloseFrame, Config, Connection, Event, MaskKeys};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
};

use crate::{
    support::{echo, endpoint, in_time, settings, url},
    wire::{Fake, Wire, frame, masked, switching},
};

/// A backend that hands its connections to the test.
fn handed() -> (Fake, mpsc::UnboundedReceiver<Wire>) {
    let (arrived, arrivals) = mpsc::unbounded_channel();
    let fake = Fake::start(move |wire| {
        arrived.send(wire).unwrap();
        async {}
    });
    (fake, arrivals)
}

/// An open pinned connection over bytes, both ends.
async fn pinned(
    gateway: &tidewire_gateway::Running,
    arrivals: &mut mpsc::UnboundedReceiver<Wire>,
) -> (Wire, Wire) {
    let opening = Wire::open(gateway, "/", "ROUTENAME: one\r\n");
    let backend = async {
        let mut backend = arrivals.recv().await.unwrap();
        let head = backend.head().await;
        backend.write(switching(&head)).await;
        backend
    };
    tokio::join!(opening, backend)
}

#[tokio::test]
async fn half_open_mux_and_smhandshake_clients_are_ended() {
    let server = tidewire::ws::Server::new(tidewire::ws::ServerConfig::new(
        "127.0.0.1:0".parse().unwrap(),
    ))
    .route("/", echo)
    .start()
    .unwrap();
    let mut settings = settings(vec![endpoint("one", &[url(&server, "/")])]);
    settings.limits.ping_interval = Duration::from_millis(50);
    let gateway = start(settings).unwrap();
    in_time(async {
        for fields in ["Sec-WebSocket-Protocol: tidewire.mux.v1\r\n", ""] {
            let mut client = Wire::open(&gateway, "/", fields).await;
            if fields.is_empty() {
                client
                    .write(masked(0x81, "{event: SMHandshake, data: SYN}"))
                    .await;
            }
            // It never answers a ping.
            let mut pings = 0;
            let mut code = None;
            while let Some(frame) = client.frame().await {
                pings += u32::from(frame.first == 0x89);
                if frame.first == 0x88 {
                    code = Some(u16::from_be_bytes([frame.payload[0], frame.payload[1]]));
                    break;
                }
            }
            assert!(pings > 0);
            assert!(matches!(code, Some(1011 | 4408)), "{code:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_relay_with_one_side_gone_ends_both() {
    let (fake, mut arrivals) = handed();
    let mut settings = settings(vec![endpoint("one", &[fake.url()])]);
    settings.limits.write_timeout = Duration::from_millis(100);
    let gateway = start(settings).unwrap();
    in_time(async {
        // The client is reset; the backend reads to the end.
        let (client, mut backend) = pinned(&gateway, &mut arrivals).await;
        client.stream.set_zero_linger().unwrap();
        drop(client);
        assert_eq!(backend.rest().await, b"");
        // The backend is reset.
        let (mut client, backend) = pinned(&gateway, &mut arrivals).await;
        backend.stream.set_zero_linger().unwrap();
        drop(backend);
        assert_eq!(client.close_code().await, Some(1014));
        drop(client);
        // The client ends without a close frame; the backend neither ends nor sends.
        let (mut client, mut backend) = pinned(&gateway, &mut arrivals).await;
        client.write(masked(0x81, "last words")).await;
        client.stream.shutdown().await.unwrap();
        assert_eq!(backend.message().await, b"last words");
        assert!(!backend.more().await, "the end is passed on");
        assert_eq!(client.rest().await, b"", "and the backend not waited for");
        // The same the other way round.
        let (mut client, mut backend) = pinned(&gateway, &mut arrivals).await;
        backend.write(frame(0x81, "last words")).await;
        backend.stream.shutdown().await.unwrap();
        assert_eq!(client.text().await, "last words");
        assert_eq!(client.close_code().await, Some(1014));
        assert!(!client.more().await);
        assert_eq!(backend.rest().await, b"");
    })
    .await;
}

/// The reading half of a connection.
struct ReadHalf {
    reads: tokio::net::tcp::OwnedReadHalf,
    buffer: Vec<u8>,
    /// Told once traffic flows.
    told: mpsc::UnboundedSender<()>,
}

impl ReadHalf {
    /// Everything up to the end, checked by our own strict codec; gives the close frame and how many messages
    /// came before it.
    async fn strictly(mut self, mut connection: Connection) -> (Option<CloseFrame>, u32) {
        let (mut close, mut messages) = (None, 0);
        loop {
            let mut input = std::mem::take(&mut self.buffer);
            let mut at = 0;
            while at < input.len() {
                assert_eq!(close, None, "bytes behind the close frame");
                let (used, event) = connection.receive(&mut input[at..]);
                at += used;
                match event.expect("valid frames") {
                    Some(Event::Close(frame)) => close = frame,
                    Some(Event::Message(_)) => {
                        messages += 1;
                        if messages == 50 {
                            self.told.send(()).ok();
                        }
                    }
                    Some(_) | None => {}
                }
            }
            self.buffer.reserve(64 << 10);
            if !matches!(self.reads.read_buf(&mut self.buffer).await, Ok(1..)) {
                return (close, messages);
            }
        }
    }
}

/// The client's connection only receives.
struct Keys;

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        [0; 4]
    }
}

/// Makes a frame.
type Make = fn(u8, Vec<u8>) -> Vec<u8>;

/// Writes frames of every length until the other end is gone.
async fn chatter(writer: &mut (impl tokio::io::AsyncWrite + Unpin), make: Make) {
    for number in 0_usize.. {
        let payload = vec![b'x'; number * 37 % 70_000];
        if writer.write_all(&make(0x82, payload)).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_puts_close_frames_between_the_frames_of_a_busy_relay() {
    let (fake, mut arrivals) = handed();
    let gateway = start(settings(vec![endpoint("one", &[fake.url()])])).unwrap();
    in_time(async {
        let (client, backend) = pinned(&gateway, &mut arrivals).await;
        let now = std::time::Instant::now();
        let config = Arc::new(Config::default());
        let as_client = Connection::client(Arc::clone(&config), Box::new(Keys), now);
        let as_server = Connection::server(config, now);
        let (flowing, mut flows) = mpsc::unbounded_channel();
        let run = |wire: Wire, connection, make: Make| {
            let (reads, mut writes) = wire.stream.into_split();
            let told = flowing.clone();
            let half = ReadHalf {
                reads,
                buffer: wire.buffer,
                told,
            };
            let writer = tokio::spawn(async move { chatter(&mut writes, make).await });
            let reader = tokio::spawn(half.strictly(connection));
            (reader, writer)
        };
        let (client, sent) = run(client, as_client, masked);
        let (backend, also) = run(backend, as_server, frame);
        for _ in 0..2 {
            flows.recv().await.unwrap();
        }
        let stopped = tokio::spawn(gateway.stop());
        let (close, messages) = client.await.unwrap();
        assert_eq!(close.map(|frame| frame.code.0), Some(1012));
        assert!(messages > 10);
        let (close, messages) = backend.await.unwrap();
        assert_eq!(close.map(|frame| frame.code.0), Some(1001));
        assert!(messages > 10);
        sent.await.unwrap();
        also.await.unwrap();
        stopped.await.unwrap();
    })
    .await;
}

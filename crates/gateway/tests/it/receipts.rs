//! A backend that is confirmed by pongs: what its client has not read is never confirmed.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use tidewire::{
    mux,
    proto::mux::{Body, DataFlags, Frame, Open, SUBPROTOCOL, Side},
    ws::{
        AcceptFuture, Client, CloseCode, Config, Decision, Incoming, Request, RunningServer,
        Sender, Server, ServerConfig, WebSocket,
    },
};
use tidewire_gateway::{
    Running,
    settings::{Endpoint, PingAnswers, Rates},
    start,
};
use tokio::sync::mpsc;

use crate::{
    resume::quick,
    support::{endpoint, in_time, settings},
};

/// How a client comes to its backend, where the gateway reads the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Rates,
    Resume,
    Mux,
    SmHandshake,
}

const WAYS: [Way; 4] = [Way::Rates, Way::Resume, Way::Mux, Way::SmHandshake];

/// What a backend has received.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Text(String),
    Pong(Bytes),
    Ended,
}

/// One connection of the gateway to the backend.
struct Served {
    sender: Sender,
    heard: mpsc::UnboundedReceiver<Heard>,
}

impl Served {
    async fn next(&mut self) -> Heard {
        self.heard.recv().await.unwrap()
    }

    async fn send(&self, text: &str, ping: &[u8]) {
        self.sender.send(text).await.unwrap();
        self.sender.ping(ping).await.unwrap();
    }
}

/// Gives the test each of its connections.
struct Scripted {
    confirms: bool,
    connections: mpsc::UnboundedSender<Served>,
}

impl tidewire::ws::Endpoint for Scripted {
    fn accept<'a>(&'a self, _request: &'a Request) -> AcceptFuture<'a> {
        let decision = Decision::new();
        if self.confirms {
            return decision.header("Tidewire-Confirm", "pong").into();
        }
        decision.into()
    }

    fn serve(
        &self,
        mut socket: WebSocket,
        _request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (told, heard) = mpsc::unbounded_channel();
        let sender = socket.sender();
        self.connections.send(Served { sender, heard }).ok();
        Box::pin(async move {
            loop {
                told.send(match socket.recv_any().await {
                    Ok(Some(Incoming::Message(message))) => {
                        let text = message.as_text().map(str::to_owned);
                        let binary = || String::from_utf8_lossy(message.payload()).into_owned();
                        Heard::Text(text.unwrap_or_else(binary))
                    }
                    Ok(Some(Incoming::Pong(payload))) => Heard::Pong(payload),
                    Ok(Some(_)) => continue,
                    Ok(None) | Err(_) => break,
                })
                .ok();
            }
            told.send(Heard::Ended).ok();
        })
    }
}

struct Backend {
    server: RunningServer,
    connections: mpsc::UnboundedReceiver<Served>,
}

impl Backend {
    fn start(address: &str, confirms: bool) -> Self {
        let (connections, all) = mpsc::unbounded_channel();
        let scripted = Scripted {
            confirms,
            connections,
        };
        let config = ServerConfig::new(address.parse().unwrap());
        Self {
            server: Server::new(config).route("/", scripted).start().unwrap(),
            connections: all,
        }
    }

    fn new() -> Self {
        Self::start("127.0.0.1:0", true)
    }

    fn endpoint(&self, way: Way) -> Endpoint {
        let mut endpoint = endpoint("one", &[format!("ws://{}/", self.server.local_addr())]);
        match way {
            Way::Rates => {
                endpoint.rates = Rates {
                    messages_per_second: 1000,
                    ..Rates::default()
                }
            }
            Way::Resume => {
                endpoint.resume = Some(quick());
                endpoint.ejection = None;
            }
            Way::Mux | Way::SmHandshake => {}
        }
        endpoint
    }

    async fn next(&mut self) -> Served {
        self.connections.recv().await.unwrap()
    }
}

/// What a client has received.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Text(String),
    Ping(Bytes),
    Closed,
}

/// A client that answers pings when the test says so.
struct Deaf {
    socket: WebSocket,
    way: Way,
}

fn deaf() -> Config {
    let mut config = Config::default();
    config.answer_pings = false;
    config
}

impl Deaf {
    async fn connect(gateway: &Running, way: Way) -> Self {
        let query = match way {
            Way::Rates | Way::Resume => "?ROUTENAME=one",
            Way::Mux | Way::SmHandshake => "",
        };
        let url = format!("ws://{}/{query}", gateway.addresses()[0]);
        let mut client = Client::new(&url).unwrap().config(deaf());
        if way == Way::Mux {
            client = client.subprotocol(SUBPROTOCOL);
        }
        let mut socket = client.connect().await.unwrap();
        match way {
            Way::Rates | Way::Resume => {}
            Way::Mux => {
                let open = Open {
                    credit: 65_536,
                    name: "one",
                    query: "",
                    subprotocols: Vec::new(),
                };
                mux(&mut socket, Body::Open(open)).await;
                socket.recv().await.unwrap().unwrap(); // ACCEPT
            }
            Way::SmHandshake => {
                let syn = [("SMHandshake", "SYN"), ("SMHandshake", "ACK")];
                for (event, data) in syn {
                    let text = format!(r#"{{"event":"{event}","data":"{data}"}}"#);
                    socket.send(text).await.unwrap();
                }
                socket.recv().await.unwrap().unwrap();
                let end = r#"{"event":"SMHandshakeEnd"}"#;
                socket.send(end).await.unwrap();
                socket.recv().await.unwrap().unwrap();
                // A route is opened by its first message.
                socket.send("ROUTENAME=one\nhello").await.unwrap();
            }
        }
        Self { socket, way }
    }

    /// With its connection to the backend.
    async fn open(gateway: &Running, backend: &mut Backend, way: Way) -> (Self, Served) {
        let client = Self::connect(gateway, way).await;
        let mut served = backend.next().await;
        if way == Way::SmHandshake {
            assert_eq!(served.next().await, Heard::Text("hello".to_owned()));
        }
        (client, served)
    }

    async fn say(&mut self, text: &str) {
        match self.way {
            Way::Rates | Way::Resume => self.socket.send(text).await.unwrap(),
            Way::SmHandshake => {
                let text = format!("ROUTENAME=one\n{text}");
                self.socket.send(text).await.unwrap();
            }
            Way::Mux => {
                let flags = DataFlags {
                    last: true,
                    binary: false,
                };
                let payload = text.as_bytes();
                mux(&mut self.socket, Body::Data { flags, payload }).await;
            }
        }
    }

    async fn next(&mut self) -> Seen {
        loop {
            let message = match self.socket.recv_any().await {
                Ok(Some(Incoming::Message(message))) => message,
                Ok(Some(Incoming::Ping(payload))) => return Seen::Ping(payload),
                Ok(Some(_)) => continue,
                Ok(None) | Err(_) => return Seen::Closed,
            };
            let payload = message.payload();
            if self.way != Way::Mux {
                let text = String::from_utf8_lossy(payload).into_owned();
                let text = text.strip_prefix("ROUTENAME=one\n").unwrap_or(&text);
                return Seen::Text(text.to_owned());
            }
            if let Body::Data { payload, .. } = Frame::decode(payload, Side::Gateway).unwrap().body
            {
                return Seen::Text(String::from_utf8_lossy(payload).into_owned());
            }
        }
    }

    /// Reads this text and the ping behind it; gives the ping's payload.
    async fn read(&mut self, text: &str) -> Bytes {
        assert_eq!(self.next().await, Seen::Text(text.to_owned()));
        match self.next().await {
            Seen::Ping(payload) => payload,
            other => panic!("{other:?}"),
        }
    }

    async fn pong(&mut self, payload: &[u8]) {
        self.socket.try_pong(payload).unwrap();
        self.socket.flush().await.unwrap();
    }
}

async fn mux(socket: &mut WebSocket, body: Body<'_>) {
    let frame = Frame { stream: 1, body };
    socket.send(frame.encode().unwrap()).await.unwrap();
}

fn text(text: &str) -> Heard {
    Heard::Text(text.to_owned())
}

fn pong(payload: &'static [u8]) -> Heard {
    Heard::Pong(Bytes::from_static(payload))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_cut_before_it_answers_has_confirmed_nothing() {
    for way in WAYS {
        let mut backend = Backend::new();
        let gateway = start(settings(vec![backend.endpoint(way)])).unwrap();
        in_time(async {
            let (mut client, mut served) = Deaf::open(&gateway, &mut backend, way).await;
            served.send("one", b"first").await;
            client.read("one").await;
            // Had the gateway answered, its pong would be there before this.
            client.say("not yet").await;
            assert_eq!(served.next().await, text("not yet"), "{way:?}");
            drop(client);
            assert_eq!(served.next().await, Heard::Ended, "{way:?}");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_pong_reaches_the_backend_with_the_payload_of_its_own_ping() {
    for way in WAYS {
        let mut backend = Backend::new();
        let gateway = start(settings(vec![backend.endpoint(way)])).unwrap();
        in_time(async {
            let (mut client, mut served) = Deaf::open(&gateway, &mut backend, way).await;
            for payload in [&b"first"[..], b"", b"\0\0\0\0\0\0\0\x07", &[0xff; 125]] {
                served.send("more", payload).await;
                let ping = client.read("more").await;
                client.pong(&ping).await;
                assert_eq!(served.next().await, pong(payload), "{way:?}");
            }
            // One pong may answer several pings, and each gets its own payload.
            served.send("a", b"1").await;
            served.send("b", b"2").await;
            let (mut texts, mut pings) = (Vec::new(), Vec::new());
            while texts.len() < 2 || pings.len() < 2 {
                match client.next().await {
                    Seen::Text(text) => texts.push(text),
                    Seen::Ping(payload) => pings.push(payload),
                    Seen::Closed => panic!("{way:?}"),
                }
            }
            assert_eq!(texts, ["a", "b"], "{way:?}");
            client.pong(&pings[1]).await;
            assert_eq!(served.next().await, pong(b"1"), "{way:?}");
            assert_eq!(served.next().await, pong(b"2"), "{way:?}");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_has_proved_before_it_closes_is_told_before_the_end() {
    for way in WAYS {
        let mut backend = Backend::new();
        let gateway = start(settings(vec![backend.endpoint(way)])).unwrap();
        in_time(async {
            let (mut client, mut served) = Deaf::open(&gateway, &mut backend, way).await;
            served.send("one", b"proved").await;
            let ping = client.read("one").await;
            served.send("two", b"not").await;
            client.read("two").await;
            client.socket.try_pong(&ping).unwrap();
            client.socket.close(CloseCode::NORMAL, "").await.ok();
            assert_eq!(served.next().await, pong(b"proved"), "{way:?}");
            assert_eq!(served.next().await, Heard::Ended, "{way:?}");
        })
        .await;
    }
}

/// There are clients whose pongs are empty, and some that put two bytes of zero before the payload.
#[tokio::test(flavor = "multi_thread")]
async fn odd_pongs_pass_untouched_until_the_client_answers_properly() {
    for way in WAYS {
        let mut backend = Backend::new();
        let gateway = start(settings(vec![backend.endpoint(way)])).unwrap();
        in_time(async {
            let (mut client, mut served) = Deaf::open(&gateway, &mut backend, way).await;
            served.send("one", b"first").await;
            client.read("one").await;
            client.pong(b"").await;
            assert_eq!(served.next().await, pong(b""), "{way:?}: not \"first\"");
            served.send("two", b"second").await;
            let ping = client.read("two").await;
            client.pong(&[&[0, 0], &ping[..]].concat()).await;
            assert_eq!(served.next().await, pong(b"first"), "{way:?}");
            assert_eq!(served.next().await, pong(b"second"), "{way:?}");
            // Who answers properly means nothing by an odd pong.
            served.send("three", b"third").await;
            client.read("three").await;
            client.pong(b"").await;
            client.say("end").await;
            assert_eq!(served.next().await, text("end"), "{way:?}");
        })
        .await;
    }
}

/// A client whose heartbeats are pongs by a timer has not read what came before them.
#[tokio::test(flavor = "multi_thread")]
async fn pongs_of_a_client_that_sends_too_many_pass_only_with_a_payload_of_ours() {
    for way in WAYS {
        let mut backend = Backend::new();
        let gateway = start(settings(vec![backend.endpoint(way)])).unwrap();
        in_time(async {
            let (mut client, mut served) = Deaf::open(&gateway, &mut backend, way).await;
            client.pong(b"").await;
            client.say("hi").await;
            assert_eq!(served.next().await, text("hi"), "{way:?}");
            served.send("one", b"first").await;
            let ping = client.read("one").await;
            client.pong(b"").await;
            client.say("again").await;
            assert_eq!(served.next().await, text("again"), "{way:?}");
            client.pong(&ping).await;
            assert_eq!(served.next().await, pong(b"first"), "{way:?}");
        })
        .await;
    }
}

/// The server tells an answer from a heartbeat by two pings at once, and counts the empty pongs.
#[tokio::test(flavor = "multi_thread")]
async fn two_pings_at_once_are_two_for_the_client_and_so_are_its_pongs() {
    for way in WAYS {
        for echoes in [true, false] {
            let mut backend = Backend::new();
            let gateway = start(settings(vec![backend.endpoint(way)])).unwrap();
            in_time(async {
                let (mut client, mut served) = Deaf::open(&gateway, &mut backend, way).await;
                for _ in 0..20 {
                    served.send("one", b"first").await;
                    served.sender.ping(b"second").await.unwrap();
                    let first = client.read("one").await;
                    let Seen::Ping(second) = client.next().await else {
                        panic!("{way:?}");
                    };
                    if echoes {
                        client.pong(&first).await;
                        assert_eq!(served.next().await, pong(b"first"), "{way:?}");
                        client.pong(&second).await;
                        assert_eq!(served.next().await, pong(b"second"), "{way:?}");
                    } else {
                        client.socket.try_pong(b"").unwrap();
                        client.pong(b"").await;
                        assert_eq!(served.next().await, pong(b""), "{way:?}");
                        assert_eq!(served.next().await, pong(b""), "{way:?}");
                    }
                }
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_pings_costs_the_client_few_and_the_newest_is_answered() {
    const PINGS: u32 = 20_000;
    for way in WAYS {
        let mut backend = Backend::new();
        let gateway = start(settings(vec![backend.endpoint(way)])).unwrap();
        in_time(async {
            let (mut client, mut served) = Deaf::open(&gateway, &mut backend, way).await;
            for number in 0..PINGS {
                served.sender.ping(&number.to_be_bytes()).await.unwrap();
            }
            served.sender.send("end").await.unwrap();
            let mut pings = Vec::new();
            loop {
                match client.next().await {
                    Seen::Ping(payload) => pings.push(payload),
                    Seen::Text(_) => break,
                    Seen::Closed => panic!("{way:?}"),
                }
            }
            assert!(pings.len() <= 8, "{way:?}: {}", pings.len());
            client.pong(pings.last().unwrap()).await;
            // What has become due meanwhile is asked for once more.
            let newest = Heard::Pong(Bytes::copy_from_slice(&(PINGS - 1).to_be_bytes()));
            let mut pongs = 0;
            loop {
                tokio::select! {
                    seen = client.next() => {
                        let Seen::Ping(payload) = seen else { panic!("{seen:?}") };
                        client.pong(&payload).await;
                    }
                    heard = served.next() => {
                        pongs += 1;
                        if heard == newest {
                            break;
                        }
                    }
                }
            }
            assert!(pongs <= 32, "{way:?}: {pongs}");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_of_what_a_lost_backend_sent_is_none_for_its_successor() {
    for way in [Way::Resume, Way::SmHandshake] {
        let mut backend = Backend::new();
        let mut one = backend.endpoint(way);
        one.resume = Some(quick());
        one.ejection = None;
        let gateway = start(settings(vec![one])).unwrap();
        in_time(async {
            let (mut client, served) = Deaf::open(&gateway, &mut backend, way).await;
            served.send("one", b"same").await;
            let old = client.read("one").await;
            let address = backend.server.local_addr().to_string();
            backend.server.drain(Duration::ZERO).await;
            let mut backend = Backend::start(&address, true);
            let mut served = backend.next().await;
            served.send("two", b"same").await;
            let new = client.read("two").await;
            client.pong(&old).await;
            client.say("only the old").await;
            assert_eq!(served.next().await, text("only the old"), "{way:?}");
            client.pong(&new).await;
            assert_eq!(served.next().await, pong(b"same"), "{way:?}");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_is_the_operators_choice_and_by_default_the_backends() {
    for (pings, confirms, end_to_end) in [
        (PingAnswers::Auto, true, true),
        (PingAnswers::Auto, false, false),
        (PingAnswers::EndToEnd, false, true),
        (PingAnswers::Gateway, true, false),
    ] {
        for way in WAYS {
            let mut backend = Backend::start("127.0.0.1:0", confirms);
            let mut one = backend.endpoint(way);
            one.pings = pings;
            let gateway = start(settings(vec![one])).unwrap();
            in_time(async {
                let (mut client, mut served) = Deaf::open(&gateway, &mut backend, way).await;
                served.send("one", b"?").await;
                if end_to_end {
                    client.read("one").await;
                    client.say("first").await;
                    assert_eq!(served.next().await, text("first"), "{way:?} {pings:?}");
                } else {
                    assert_eq!(served.next().await, pong(b"?"), "{way:?} {pings:?}");
                    assert_eq!(client.next().await, Seen::Text("one".to_owned()));
                }
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_confirms_nothing_for_its_clients() {
    for way in WAYS {
        let mut backend = Backend::new();
        let gateway = start(settings(vec![backend.endpoint(way)])).unwrap();
        in_time(async {
            let (mut client, mut served) = Deaf::open(&gateway, &mut backend, way).await;
            served.send("one", b"first").await;
            client.read("one").await;
            let client = tokio::spawn(async move { while client.next().await != Seen::Closed {} });
            gateway.stop().await;
            client.await.unwrap();
            assert_eq!(served.next().await, Heard::Ended, "{way:?}");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_not_read_delays_its_own_pong_and_no_other() {
    let (mut slow, mut fast) = (Backend::new(), Backend::new());
    let mut endpoints = vec![slow.endpoint(Way::Mux), fast.endpoint(Way::Mux)];
    endpoints[0].name = "slow".to_owned();
    endpoints[1].name = "fast".to_owned();
    let gateway = start(settings(endpoints)).unwrap();
    in_time(async {
        let address = format!("ws://{}/", gateway.addresses()[0]);
        let client = mux::connect(&address).await.unwrap();
        let mut unread = client.endpoint("slow").await.unwrap();
        let mut read = client.endpoint("fast").await.unwrap();
        let (mut slow, mut fast) = (slow.next().await, fast.next().await);
        // More than the client's credit, so that the ping waits behind.
        let long = "x".repeat(300_000);
        let sender = slow.sender.clone();
        let sent = tokio::spawn(async move {
            sender.send(long).await.unwrap();
            sender.ping(b"slow").await.unwrap();
        });
        for _ in 0..20 {
            fast.send("quick", b"fast").await;
            assert_eq!(fast.next().await, pong(b"fast"));
            assert_eq!(read.recv().await.unwrap().unwrap().as_text(), Some("quick"));
        }
        unread.send("unread").await.unwrap();
        assert_eq!(slow.next().await, text("unread"));
        let long = unread.recv().await.unwrap().unwrap();
        assert_eq!(long.payload().len(), 300_000);
        assert_eq!(slow.next().await, pong(b"slow"));
        sent.await.unwrap();
    })
    .await;
}

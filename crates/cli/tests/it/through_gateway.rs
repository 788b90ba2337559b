//! Proof of receipt through the gateway: what a client behind it has not proved comes again, where the gateway reads
//! the messages.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tidewire::{
    mux::{self, LogicalSocket},
    ws::{CloseCode, Incoming},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::{
    gateway::Gateway,
    peer::{Envelope, Peer, envelope, message},
    rest::Rest,
    run,
    server::{Home, Server},
};

const USER: u64 = 7;

/// How a client comes to the server.
#[derive(Clone, Copy, Debug)]
enum Way {
    Resume,
    Rates,
    Mux,
}

const WAYS: [Way; 3] = [Way::Resume, Way::Rates, Way::Mux];

async fn start_gateway(server: &Server, way: Way) -> Gateway {
    let rule = match way {
        Way::Resume => "[endpoints.chat.resume]\n",
        Way::Rates => "[endpoints.chat.rates]\nmessages_per_second = 1000\n",
        Way::Mux => "",
    };
    let url = server.url("messaging");
    let config = format!("[endpoints.chat]\nupstreams = [\"{url}\"]\n{rule}");
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("gateway.toml"), config).expect("writable");
    Gateway::start_in(Arc::new(directory), "gateway.toml", &[]).await
}

/// A client of the server, behind the gateway, that answers every ping.
enum Behind {
    Pinned(Peer),
    Mux(LogicalSocket),
}

impl Behind {
    async fn connect(gateway: &str, way: Way) -> Self {
        match way {
            Way::Resume | Way::Rates => {
                let url = format!("{gateway}?ROUTENAME=chat");
                let socket = tidewire::ws::connect(&format!("{url}&id={USER}")).await;
                let socket = socket.expect("the gateway listens");
                Self::Pinned(Peer { socket })
            }
            Way::Mux => {
                let gateway = mux::connect(gateway).await.expect("it listens");
                let endpoint = gateway.endpoint("chat").query(format!("id={USER}"));
                Self::Mux(endpoint.await.expect("the server listens"))
            }
        }
    }

    /// The next message, or the code that the server has ended it with.
    async fn next(&mut self) -> Result<Envelope, Option<CloseCode>> {
        match self {
            Self::Pinned(Peer { socket }) => loop {
                match socket.recv_any().await.expect("no failure") {
                    Some(Incoming::Message(message)) => return Ok(envelope(&message)),
                    Some(Incoming::Closing(frame)) => return Err(frame.map(|frame| frame.code)),
                    Some(_) => {}
                    None => return Err(None),
                }
            },
            Self::Mux(socket) => match socket.recv().await.expect("no failure") {
                Some(message) => Ok(envelope(&message)),
                None => Err(socket.close_frame().map(|frame| frame.code)),
            },
        }
    }

    /// Answers pings until nothing waits in the mailbox any more.
    async fn prove(&mut self, rest: &mut Rest) {
        tokio::select! {
            () = until_pending(rest, 0) => {}
            next = self.next() => panic!("unexpected {next:?}"),
        }
    }

    async fn expect(&mut self, texts: &[&str]) -> Vec<Envelope> {
        let mut envelopes = Vec::new();
        for text in texts {
            let next = self.next().await.expect("it is open");
            assert_eq!(next.text, *text);
            envelopes.push(next);
        }
        envelopes
    }
}

/// How a client goes.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Closed,
    Reset,
    /// Nobody is told.
    Silent,
}

/// The network between one client and the gateway.
struct Network {
    address: SocketAddr,
    is_deaf: Arc<AtomicBool>,
    end: oneshot::Sender<Ending>,
}

impl Network {
    async fn to(gateway: &Gateway) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let is_deaf = Arc::new(AtomicBool::new(false));
        let (end, ended) = oneshot::channel();
        let gateway = host(&gateway.url).to_owned();
        tokio::spawn(carry(listener, gateway, Arc::clone(&is_deaf), ended));
        Self {
            address,
            is_deaf,
            end,
        }
    }

    fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// What the client sends from now on does not arrive.
    fn lose_upward(&self) {
        self.is_deaf.store(true, Ordering::SeqCst);
    }

    fn end(self, ending: Ending) {
        self.end.send(ending).expect("it carries");
    }
}

async fn carry(
    listener: TcpListener,
    gateway: String,
    is_deaf: Arc<AtomicBool>,
    ended: oneshot::Receiver<Ending>,
) {
    let (mut client, _) = listener.accept().await.expect("a client");
    let mut gateway = TcpStream::connect(gateway).await.expect("it listens");
    let ending = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_gateway, mut to_gateway) = gateway.split();
        let upward = async {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
                if !is_deaf.load(Ordering::SeqCst) {
                    to_gateway.write_all(&bytes[..count]).await.ok();
                }
            }
        };
        tokio::select! {
            ending = ended => ending,
            _ = async { tokio::join!(upward, copy(&mut from_gateway, &mut to_client)) } => return,
        }
    };
    match ending {
        Ok(Ending::Reset) => gateway.set_zero_linger().expect("an open socket"),
        Ok(Ending::Silent) => std::future::pending().await,
        Ok(Ending::Closed) | Err(_) => {}
    }
}

fn host(url: &str) -> &str {
    url.trim_start_matches("ws://").trim_end_matches('/')
}

async fn send(rest: &mut Rest, text: &str) {
    let answer = rest.send_message(&message(1, &[USER], text)).await;
    assert_eq!(answer.expect("it runs").status, 202);
}

/// Waits until so many messages wait for their proof, in the mailbox of the only user.
async fn until_pending(rest: &mut Rest, count: u32) {
    let line = format!("mailbox_pending_messages {count}");
    loop {
        let metrics = rest.get("/metrics").await.expect("it runs").body;
        assert!(metrics.contains("mailbox_pending_messages "), "{metrics}");
        if metrics.lines().any(|it| it.ends_with(&line)) {
            return;
        }
    }
}

/// A client that has proved "proved", and has received "one" and "two" without proving them.
async fn unproved(
    rest: &mut Rest,
    gateway: &Gateway,
    way: Way,
) -> (Behind, Network, Vec<Envelope>) {
    let network = Network::to(gateway).await;
    let mut client = Behind::connect(&network.url(), way).await;
    send(rest, "proved").await;
    client.expect(&["proved"]).await;
    client.prove(rest).await;
    network.lose_upward();
    send(rest, "one").await;
    send(rest, "two").await;
    let received = client.expect(&["one", "two"]).await;
    (client, network, received)
}

/// The next connection gets what was not proved, and nothing else.
async fn expect_again(rest: &mut Rest, gateway: &Gateway, way: Way, unproved: &[Envelope]) {
    until_pending(rest, 2).await;
    let mut client = Behind::connect(&gateway.url, way).await;
    assert_eq!(client.expect(&["one", "two"]).await, unproved, "{way:?}");
    client.prove(rest).await;
    send(rest, "end").await;
    client.expect(&["end"]).await;
    client.prove(rest).await;
}

#[test]
fn what_a_client_has_not_proved_before_it_vanished_behind_the_gateway_comes_again() {
    run(async {
        for way in WAYS {
            let home = Home::new("");
            let server = home.start().await;
            let gateway = start_gateway(&server, way).await;
            let mut rest = server.rest().await;
            for ending in [Ending::Closed, Ending::Reset, Ending::Silent] {
                let (client, network, received) = unproved(&mut rest, &gateway, way).await;
                network.end(ending);
                expect_again(&mut rest, &gateway, way, &received).await;
                drop(client);
            }
        }
    });
}

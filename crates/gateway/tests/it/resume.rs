//! A client's socket outlives its backend.

use std::time::Duration;

use tidewire::ws::{CloseCode, RunningServer, Server, ServerConfig, WebSocket, connect};
use tidewire_gateway::{
    Running,
    settings::{Endpoint, Overflow, Rates, Replay, Resume},
    start,
};
use tokio::sync::mpsc;

use crate::support::{echo, endpoint, in_time, missed, settings};

/// A backend that can be killed and started again at the same address, and tells what it got.
pub(crate) struct Backend {
    server: Option<RunningServer>,
    address: std::net::SocketAddr,
    got: mpsc::UnboundedSender<String>,
}

impl Backend {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (got, all) = mpsc::unbounded_channel();
        let mut backend = Self {
            server: None,
            address: "127.0.0.1:0".parse().unwrap(),
            got,
        };
        backend.start();
        (backend, all)
    }

    pub(crate) fn start(&mut self) {
        let got = self.got.clone();
        let serve = move |mut socket: WebSocket| {
            let got = got.clone();
            async move {
                while let Ok(Some(message)) = socket.recv().await {
                    got.send(message.as_text().unwrap().to_owned()).ok();
                    if socket.send(message).await.is_err() {
                        break;
                    }
                }
            }
        };
        let server = Server::new(ServerConfig::new(self.address.into())).route("/", serve);
        let server = server.start().unwrap();
        self.address = server.local_addr();
        self.server = Some(server);
    }

    /// Ends it at once; connections are cut.
    pub(crate) async fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.drain(Duration::ZERO).await;
        }
    }

    /// Ends it, and waits until the gateway has noticed.
    pub(crate) async fn kill_and_be_missed(&mut self) {
        self.kill().await;
        missed(self.address).await;
    }

    pub(crate) fn endpoint(&self, resume: Resume) -> Endpoint {
        let mut endpoint = endpoint("one", &[format!("ws://{}/", self.address)]);
        endpoint.resume = Some(resume);
        endpoint.ejection = None;
        endpoint
    }
}

pub(crate) fn quick() -> Resume {
    Resume {
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(20),
        ..Resume::default()
    }
}

async fn client(gateway: &Running) -> WebSocket {
    let address = gateway.addresses()[0];
    connect(&format!("ws://{address}/?ROUTENAME=one"))
        .await
        .unwrap()
}

async fn exchange(socket: &mut WebSocket, text: &str) {
    socket.send(text).await.unwrap();
    let answer = socket.recv().await.unwrap().unwrap();
    assert_eq!(answer.as_text(), Some(text));
}

/// Parity: M-31.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_lives_on_and_what_it_sent_meanwhile_is_delivered_once_in_order() {
    for replay in [Replay::Unsent, Replay::Unconfirmed] {
        let (mut backend, mut got) = Backend::new();
        let resume = Resume { replay, ..quick() };
        let gateway = start(settings(vec![backend.endpoint(resume)])).unwrap();
        in_time(async {
            let mut socket = client(&gateway).await;
            exchange(&mut socket, "before").await;
            for round in 0..5 {
                backend.kill_and_be_missed().await;
                for number in 0..20 {
                    socket.send(format!("{round} {number}")).await.unwrap();
                }
                backend.start();
                for number in 0..20 {
                    let answer = socket.recv().await.unwrap().unwrap();
                    assert_eq!(answer.as_text(), Some(&*format!("{round} {number}")));
                }
            }
            exchange(&mut socket, "after").await;
            socket.close(CloseCode::NORMAL, "").await.unwrap();
        })
        .await;
        drop(backend);
        let mut all = Vec::new();
        while let Some(text) = got.recv().await {
            all.push(text);
        }
        assert_eq!(all.len(), 102, "nothing lost, nothing twice: {all:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_stays_away_ends_the_client_with_1014() {
    let (mut backend, _got) = Backend::new();
    let resume = Resume {
        timeout: Duration::from_millis(100),
        ..quick()
    };
    let gateway = start(settings(vec![backend.endpoint(resume)])).unwrap();
    in_time(async {
        let mut socket = client(&gateway).await;
        exchange(&mut socket, "x").await;
        backend.kill().await;
        assert!(socket.recv().await.unwrap().is_none());
        assert_eq!(socket.close_frame().unwrap().code, CloseCode(1014));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_ends_the_client_with_1013_and_never_silently() {
    let (mut backend, _got) = Backend::new();
    let resume = Resume {
        messages_max: 10,
        overflow: Overflow::Close,
        ..quick()
    };
    let gateway = start(settings(vec![backend.endpoint(resume)])).unwrap();
    in_time(async {
        let mut socket = client(&gateway).await;
        exchange(&mut socket, "x").await;
        backend.kill().await;
        for _ in 0..1000 {
            if socket.send("more").await.is_err() {
                break;
            }
        }
        assert!(socket.recv().await.unwrap().is_none());
        assert_eq!(
            socket.close_frame().unwrap().code,
            CloseCode::TRY_AGAIN_LATER
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_closes_for_good_is_not_looked_for() {
    let serve = |mut socket: WebSocket| async move {
        socket.close(CloseCode(4001), "enough").await.ok();
    };
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
    let server = Server::new(config).route("/", serve).start().unwrap();
    let mut endpoint = endpoint("one", &[format!("ws://{}/", server.local_addr())]);
    endpoint.resume = Some(quick());
    let gateway = start(settings(vec![endpoint])).unwrap();
    in_time(async {
        let mut socket = client(&gateway).await;
        assert!(socket.recv().await.unwrap().is_none());
        let frame = socket.close_frame().unwrap();
        assert_eq!((frame.code, &*frame.reason), (CloseCode(4001), "enough"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_per_client_are_kept_and_large_messages_pass_in_pieces() {
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
    let server = Server::new(config).route("/", echo).start().unwrap();
    let mut endpoint = endpoint("one", &[format!("ws://{}/", server.local_addr())]);
    endpoint.rates = Rates {
        messages_per_second: 50,
        bytes_per_second: 0,
        message_bytes_max: 4 << 20,
    };
    let gateway = start(settings(vec![endpoint])).unwrap();
    in_time(async {
        let mut socket = client(&gateway).await;
        exchange(&mut socket, &"long ".repeat(700_000)).await;
        let mut refused = client(&gateway).await;
        refused.send("x".repeat((4 << 20) + 1)).await.ok();
        while let Ok(Some(_echo)) = refused.recv().await {}
        assert_eq!(refused.close_frame().unwrap().code, CloseCode::TOO_BIG);
        for _ in 0..200 {
            if socket.send("x").await.is_err() {
                break;
            }
        }
        while let Ok(Some(_echo)) = socket.recv().await {}
        assert_eq!(
            socket.close_frame().unwrap().code,
            CloseCode::POLICY_VIOLATION
        );
    })
    .await;
}

/// The send queue is full behind such a message, so that the ping that is to confirm it finds no room at first.
#[tokio::test]
async fn messages_above_what_may_be_unconfirmed_pass_one_by_one() {
    let (backend, _all) = Backend::new();
    let resume = Resume {
        replay: Replay::Unconfirmed,
        bytes_max: 4 << 20,
        ..quick()
    };
    let gateway = start(settings(vec![backend.endpoint(resume)])).unwrap();
    in_time(async {
        let mut client = client(&gateway).await;
        let text = "x".repeat(3_000_000);
        for _ in 0..5 {
            client.send(text.as_str()).await.unwrap();
            let echoed = client.recv().await.unwrap().unwrap();
            assert_eq!(echoed.payload().len(), text.len());
        }
    })
    .await;
}

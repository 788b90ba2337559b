//! An upstream that hangs is found by its checks, and left by every connection that can go on elsewhere.
//!
//! Pings to idle backends are off here: who leaves does so by the checks.

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use tidewire::{
    mux::{self, Event},
    service::Workers,
    ws::{CloseCode, RunningServer, Server, ServerConfig, WebSocket, connect},
};
use tidewire_gateway::{
    Running,
    settings::{Endpoint, Health, OnUnhealthy, Rates, Replay, Resume},
    start,
};
use tokio::time::timeout;

use crate::{
    resume::quick,
    support::{endpoint, in_time, settings, url},
};

/// A backend that puts its name in front of what it sends back, and can be stopped as by a signal: the system
/// goes on accepting connections and bytes for it.
struct Backend {
    goes_on: mpsc::Sender<()>,
    got: Arc<Mutex<Vec<String>>>,
    server: RunningServer,
}

impl Backend {
    fn start(name: &'static str) -> Self {
        let (goes_on, stopped) = mpsc::channel();
        let stopped = Arc::new(Mutex::new(stopped));
        let got = Arc::<Mutex<Vec<String>>>::default();
        let all = Arc::clone(&got);
        let serve = move |mut socket: WebSocket| {
            let (stopped, all) = (Arc::clone(&stopped), Arc::clone(&all));
            async move {
                while let Ok(Some(message)) = socket.recv().await {
                    let text = message.as_text().unwrap();
                    if text == "stop" {
                        // Its only thread.
                        stopped.lock().unwrap().recv().ok();
                        return;
                    }
                    all.lock().unwrap().push(text.to_owned());
                    if socket.send(format!("{name}: {text}")).await.is_err() {
                        return;
                    }
                }
            }
        };
        let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
        config.workers = Workers::PerCore(NonZeroUsize::MIN);
        let server = Server::new(config).route_any(serve).start().unwrap();
        Self {
            goes_on,
            got,
            server,
        }
    }

    async fn stop(&self) {
        let mut socket = connect(&url(&self.server, "/")).await.unwrap();
        socket.send("stop").await.unwrap();
        // It stops without an answer, so that whatever comes next finds it stopped.
    }

    fn go_on(&self) {
        self.goes_on.send(()).unwrap();
    }

    fn got(&self) -> Vec<String> {
        self.got.lock().unwrap().clone()
    }
}

/// Two backends, of which the first gets every client as long as it is well.
fn both(on_unhealthy: OnUnhealthy) -> (Backend, Backend, Endpoint) {
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let mut endpoint = endpoint("one", &[url(&a.server, "/"), url(&b.server, "/")]);
    endpoint.zone = Some("near".to_owned());
    endpoint.upstreams[0].zone = Some("near".to_owned());
    endpoint.health = Some(quickly(on_unhealthy));
    endpoint.ejection = None;
    (a, b, endpoint)
}

fn quickly(on_unhealthy: OnUnhealthy) -> Health {
    Health {
        interval: Duration::from_millis(500),
        timeout: Duration::from_millis(500),
        on_unhealthy,
        ..Health::default()
    }
}

fn run(endpoint: Endpoint) -> Running {
    let mut settings = settings(vec![endpoint]);
    settings.limits.ping_interval = Duration::from_hours(1);
    start(settings).unwrap()
}

async fn pinned(gateway: &Running) -> WebSocket {
    let address = format!("ws://{}/?ROUTENAME=one", gateway.addresses()[0]);
    let mut socket = connect(&address).await.unwrap();
    exchange(&mut socket, "", "a").await;
    socket
}

/// A client of `SMHandshake`: it can be moved at every endpoint.
async fn classic(gateway: &Running) -> WebSocket {
    let address = format!("ws://{}/", gateway.addresses()[0]);
    let mut socket = connect(&address).await.unwrap();
    for step in [
        "{event: SMHandshake, data: SYN}",
        "{event: SMHandshake, data: ACK}",
        "{event: SMHandshakeEnd}",
    ] {
        socket.send(step).await.unwrap();
        if !step.contains("ACK") {
            socket.recv().await.unwrap().unwrap();
        }
    }
    exchange(&mut socket, "ROUTENAME=one\n", "a").await;
    socket
}

async fn exchange(socket: &mut WebSocket, line: &str, name: &str) {
    socket.send(format!("{line}hello")).await.unwrap();
    let answer = socket.recv().await.unwrap().unwrap();
    assert_eq!(answer.as_text(), Some(&*format!("{line}{name}: hello")));
}

/// Sends numbers until one is answered, and gives that answer: what a backend had got before it was missed is
/// lost with it.
async fn numbers_until_answered(socket: &mut WebSocket, line: &str) -> String {
    for number in 0.. {
        socket.send(format!("{line}{number}")).await.unwrap();
        let answer = timeout(Duration::from_millis(20), socket.recv()).await;
        if let Ok(answer) = answer {
            let answer = answer.unwrap().expect("it lives on");
            return answer.as_text().unwrap().to_owned();
        }
    }
    unreachable!("numbers do not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_resume_leaves_a_backend_that_hangs_and_keeps_its_socket() {
    for replay in [Replay::Unsent, Replay::Unconfirmed] {
        let (a, b, mut endpoint) = both(OnUnhealthy::default());
        endpoint.resume = Some(Resume { replay, ..quick() });
        let gateway = run(endpoint);
        in_time(async {
            let mut socket = pinned(&gateway).await;
            a.stop().await;
            let answer = numbers_until_answered(&mut socket, "").await;
            assert!(answer.starts_with("b: "), "{answer}");
            let first = answer["b: ".len()..].parse::<u32>().unwrap();
            if replay == Replay::Unconfirmed {
                assert_eq!(first, 0, "what was not confirmed is sent again");
            }
            socket.close(CloseCode::NORMAL, "").await.unwrap();
            a.go_on();
            drop(gateway);
            let got = b.got();
            let numbers: Vec<u32> = got.iter().map(|text| text.parse().unwrap()).collect();
            let rising: Vec<u32> = (first..).take(numbers.len()).collect();
            assert_eq!(numbers, rising, "in order, each once");
            // It may read them all, now that it goes on.
            a.server.drain(Duration::from_secs(5)).await;
            let late = a.got.lock().unwrap().clone();
            if replay == Replay::Unsent {
                let late: BTreeSet<_> = late.into_iter().skip(1).collect();
                let twice: Vec<_> = got.iter().filter(|text| late.contains(*text)).collect();
                assert!(twice.is_empty(), "{twice:?}");
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sole_backend_that_hangs_is_left_and_found_again_when_it_goes_on() {
    let (a, _b, mut endpoint) = both(OnUnhealthy::default());
    endpoint.upstreams.truncate(1);
    endpoint.opening.timeout = Duration::from_millis(200);
    endpoint.resume = Some(quick());
    let gateway = run(endpoint);
    in_time(async {
        let address = format!("ws://{}/", gateway.addresses()[0]);
        let client = mux::connect(&address).await.unwrap();
        let mut socket = client.endpoint("one").await.unwrap();
        a.stop().await;
        let down = socket.recv_any().await.unwrap().unwrap();
        assert!(matches!(down, Event::Down { .. }), "{down:?}");
        socket.send("kept").await.unwrap();
        a.go_on();
        loop {
            match socket.recv_any().await.unwrap().unwrap() {
                Event::Message(message) => {
                    assert_eq!(message.as_text(), Some("a: kept"));
                    break;
                }
                Event::Down { .. } | Event::Up => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(a.got(), ["kept"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_cannot_go_on_elsewhere_are_left_alone() {
    for rates in [0, 1_000_000] {
        let (a, _b, mut endpoint) = both(OnUnhealthy::default());
        endpoint.rates = Rates {
            messages_per_second: rates,
            ..Rates::default()
        };
        let gateway = run(endpoint);
        in_time(async {
            let mut stays = pinned(&gateway).await;
            let mut moves = classic(&gateway).await;
            a.stop().await;
            // By this the others have been told, too, if anybody tells them.
            let answer = numbers_until_answered(&mut moves, "ROUTENAME=one\n").await;
            assert!(answer.starts_with("ROUTENAME=one\nb: "), "{answer}");
            a.go_on();
            exchange(&mut stays, "", "a").await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keep_even_those_that_could_go_on_elsewhere_stay() {
    let (a, b, mut endpoint) = both(OnUnhealthy::Keep);
    endpoint.resume = Some(quick());
    endpoint.opening.timeout = Duration::from_mins(10);
    let gateway = run(endpoint);
    in_time(async {
        let mut stays = pinned(&gateway).await;
        a.stop().await;
        // As long as it counts as well, a new client waits for it.
        let address = format!("ws://{}/?ROUTENAME=one", gateway.addresses()[0]);
        let late = async {
            loop {
                let opened = timeout(Duration::from_millis(100), connect(&address)).await;
                if let Ok(opened) = opened {
                    break opened.unwrap();
                }
            }
        };
        exchange(&mut late.await, "", "b").await;
        a.go_on();
        exchange(&mut stays, "", "a").await;
        assert_eq!(b.got(), ["hello"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_close_those_that_cannot_go_on_elsewhere_are_closed_with_1012() {
    for rates in [0, 1_000_000] {
        let (a, _b, mut endpoint) = both(OnUnhealthy::Close);
        endpoint.rates = Rates {
            messages_per_second: rates,
            ..Rates::default()
        };
        let gateway = run(endpoint);
        in_time(async {
            let mut closed = pinned(&gateway).await;
            let mut moves = classic(&gateway).await;
            let address = format!("ws://{}/", gateway.addresses()[0]);
            let client = mux::connect(&address).await.unwrap();
            let mut logical = client.endpoint("one").await.unwrap();
            a.stop().await;
            assert!(closed.recv().await.unwrap().is_none());
            let frame = closed.close_frame().unwrap();
            assert_eq!(frame.code, CloseCode::SERVICE_RESTART);
            assert_eq!(&*frame.reason, "the backend is unhealthy");
            assert!(logical.recv().await.unwrap().is_none());
            let frame = logical.close_frame().unwrap();
            assert_eq!(frame.code, CloseCode::SERVICE_RESTART);
            let answer = numbers_until_answered(&mut moves, "ROUTENAME=one\n").await;
            assert!(answer.starts_with("ROUTENAME=one\nb: "), "{answer}");
            a.go_on();
        })
        .await;
    }
}

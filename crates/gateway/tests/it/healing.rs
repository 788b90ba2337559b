//! Backend sessions heal themselves, however often their backend dies, and nothing is delivered twice.

use std::time::Duration;

use tidewire::{
    mux::{self, Event},
    ws::connect,
};
use tidewire_gateway::{
    settings::{Replay, Resume},
    start,
};
use tokio::sync::{mpsc, watch};

use crate::{
    resume::{Backend, quick},
    support::{endpoint, in_time, settings},
    wire::{Fake, switching},
};

const KILLS: u32 = 100;

/// What a backend got, and what came back: numbers that only rise are neither doubled nor out of order.
fn check_rising(numbers: impl IntoIterator<Item = u32>) {
    let mut last = None;
    for number in numbers {
        assert!(last < Some(number), "{number} after {last:?}");
        last = Some(number);
    }
}

fn number(text: &str) -> u32 {
    text.split(' ').next().unwrap().parse().unwrap()
}

async fn all(mut got: mpsc::UnboundedReceiver<String>) -> Vec<u32> {
    let mut all = Vec::new();
    while let Some(text) = got.recv().await {
        all.push(number(&text));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_client_survives_a_hundred_deaths_of_its_backend() {
    let (mut backend, got) = Backend::new();
    let gateway = start(settings(vec![backend.endpoint(quick())])).unwrap();
    in_time(async {
        let address = format!("ws://{}/?ROUTENAME=one", gateway.addresses()[0]);
        let mut socket = connect(&address).await.unwrap();
        let (mut next, mut echoes) = (0, Vec::new());
        for _ in 0..KILLS {
            let first = next;
            for _ in 0..5 {
                socket.send(format!("{next} x")).await.unwrap();
                next += 1;
            }
            backend.kill_and_be_missed().await;
            for _ in 0..5 {
                socket.send(format!("{next} x")).await.unwrap();
                next += 1;
            }
            backend.start();
            // What was sent while it was away comes; what it had taken before may be lost with it.
            let mut last = first;
            while last < next - 1 {
                let echo = socket.recv().await.unwrap().unwrap();
                last = number(echo.as_text().unwrap());
                echoes.push(last);
            }
        }
        check_rising(echoes);
    })
    .await;
    drop(gateway);
    backend.kill().await;
    drop(backend);
    check_rising(in_time(all(got)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mux_client_survives_a_hundred_deaths_of_its_backend_with_its_credit_right() {
    for replay in [Replay::Unsent, Replay::Unconfirmed] {
        let (mut backend, got) = Backend::new();
        let resume = Resume { replay, ..quick() };
        let gateway = start(settings(vec![backend.endpoint(resume)])).unwrap();
        in_time(async {
            let address = format!("ws://{}/", gateway.addresses()[0]);
            let client = mux::connect(&address).await.unwrap();
            let mut socket = client.endpoint("one").await.unwrap();
            let sender = socket.sender();
            let last = KILLS * 4;
            let (up, mut ups) = watch::channel(0);
            // It reads all the time: what waits for a client that does not read confirms nothing.
            let reader = tokio::spawn(async move {
                loop {
                    let event = socket.recv_any().await.unwrap();
                    let frame = socket.close_frame();
                    match event.unwrap_or_else(|| panic!("closed: {frame:?}")) {
                        Event::Message(message) => {
                            if number(message.as_text().unwrap()) == last {
                                break;
                            }
                        }
                        Event::Down { retry } => assert!(retry <= Duration::from_millis(20)),
                        _up => up.send_modify(|ups| *ups += 1),
                    }
                }
            });
            let pad = "x".repeat(20_000);
            for first in (0..last).step_by(4) {
                let before = *ups.borrow();
                // More than the credit, so that a wrong sum is noticed, while the backend dies.
                let send = async {
                    for number in first..first + 4 {
                        sender.send(format!("{number} {pad}")).await.unwrap();
                    }
                };
                let kill = async {
                    backend.kill().await;
                    backend.start();
                    ups.wait_for(|ups| *ups > before).await.unwrap();
                };
                tokio::join!(send, kill);
            }
            sender.send(format!("{last} last")).await.unwrap();
            reader.await.unwrap();
        })
        .await;
        drop(gateway);
        backend.kill().await;
        drop(backend);
        let got = in_time(all(got)).await;
        assert_eq!(got.last(), Some(&(KILLS * 4)));
        if replay == Replay::Unsent {
            check_rising(got);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_comes_only_to_go_is_tried_less_and_less_often() {
    let fake = Fake::start(|mut wire| async move {
        let head = wire.head().await;
        if !head.is_empty() {
            wire.write(switching(&head)).await;
        }
    });
    let mut one = endpoint("one", &[fake.url()]);
    one.ejection = None;
    one.resume = Some(Resume {
        backoff_min: Duration::from_millis(50),
        ..Resume::default()
    });
    let gateway = start(settings(vec![one])).unwrap();
    in_time(async {
        let client = mux::connect(&format!("ws://{}/", gateway.addresses()[0]))
            .await
            .unwrap();
        let mut socket = client.endpoint("one").await.unwrap();
        let mut pauses = Vec::new();
        while pauses.len() < 5 {
            if let Event::Down { retry } = socket.recv_any().await.unwrap().unwrap() {
                pauses.push(retry);
            }
        }
        // Each is between half and all of 50, 100, 200, 400, 800 ms.
        for (number, pause) in pauses.into_iter().enumerate() {
            let most = Duration::from_millis(50 << number);
            assert!(
                pause <= most && pause + Duration::from_millis(1) >= most / 2,
                "{number}: {pause:?}"
            );
        }
    })
    .await;
}

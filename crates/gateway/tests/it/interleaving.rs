//! Any interleaving of routes keeps order per route and mixes no bytes, in both dialects that carry many, with
//! readers that pause and backends that die: then messages may be lost, never doubled.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tidewire::{
    mux,
    ws::{Message, connect},
};
use tidewire_gateway::{settings::Resume, start};
use tokio::sync::{mpsc, watch};

use crate::{
    resume::{Backend, quick},
    support::{in_time, settings},
};

const ROUTES: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// A message of this length on this route.
    Send(usize, usize),
    Kill(usize),
    Pause(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![3 => 0_usize..100, 1 => 16_380_usize..16_390, 3 => 0_usize..70_000];
    prop_oneof![
        20 => (0..ROUTES, len).prop_map(|(route, len)| Step::Send(route, len)),
        3 => (0..ROUTES).prop_map(Step::Kill),
        2 => any::<bool>().prop_map(Step::Pause),
    ]
}

/// A message that tells where it belongs, in every byte.
fn message(route: usize, number: u32, len: usize) -> String {
    let letter = char::from(b'a' + u8::try_from(route).unwrap());
    let pad: String = std::iter::repeat_n(letter, len).collect();
    format!("{route} {number} {len} {pad}")
}

/// What one end got of each route, in order.
#[derive(Default)]
struct Got(BTreeMap<usize, Vec<u32>>);

impl Got {
    fn take(&mut self, route: usize, text: &str) -> u32 {
        let mut words = text.splitn(4, ' ');
        let mut word = || words.next().unwrap().parse::<usize>().unwrap();
        let (told, number, len) = (word(), u32::try_from(word()).unwrap(), word());
        assert_eq!(told, route, "another route's message");
        assert_eq!(text, message(route, number, len), "bytes are mixed");
        let numbers = self.0.entry(route).or_default();
        assert!(
            numbers.last() < Some(&number),
            "{number} after {:?}",
            numbers.last()
        );
        numbers.push(number);
        number
    }
}

struct Scene {
    backends: Vec<Backend>,
    arrived: Vec<mpsc::UnboundedReceiver<String>>,
    gateway: tidewire_gateway::Running,
}

fn scene() -> Scene {
    let (mut backends, mut arrived, mut endpoints) = (Vec::new(), Vec::new(), Vec::new());
    for route in 0..ROUTES {
        let (backend, got) = Backend::new();
        let mut endpoint = backend.endpoint(Resume {
            messages_max: usize::MAX,
            ..quick()
        });
        endpoint.name = format!("route{route}");
        endpoints.push(endpoint);
        backends.push(backend);
        arrived.push(got);
    }
    let gateway = start(settings(endpoints)).unwrap();
    Scene {
        backends,
        arrived,
        gateway,
    }
}

/// Plays the steps into one sender for each route; then sends last messages until each was answered.
async fn play(
    steps: &[Step],
    backends: &mut [Backend],
    senders: &[mpsc::UnboundedSender<String>],
    pause: &watch::Sender<bool>,
    heard: &mut mpsc::UnboundedReceiver<(usize, u32)>,
) -> Vec<u32> {
    let mut next = vec![0; ROUTES];
    let mut send = |route: usize, len| {
        senders[route]
            .send(message(route, next[route], len))
            .unwrap();
        next[route] += 1;
        next[route] - 1
    };
    let mut killed = false;
    for step in steps {
        match step {
            Step::Send(route, len) => {
                send(*route, *len);
            }
            Step::Kill(route) => {
                killed = true;
                backends[*route].kill().await;
                backends[*route].start();
            }
            Step::Pause(stop) => {
                pause.send_replace(*stop);
            }
        }
        tokio::task::yield_now().await;
    }
    pause.send_replace(false);
    for route in 0..ROUTES {
        // One may be lost with a backend that is just dying.
        let mut last = send(route, 1);
        loop {
            tokio::select! {
                answer = heard.recv() => {
                    let (from, number) = answer.unwrap();
                    if from == route && number >= last {
                        break;
                    }
                }
                () = tokio::time::sleep(std::time::Duration::from_millis(100)), if killed => {
                    last = last.min(send(route, 1));
                }
            }
        }
    }
    if killed { Vec::new() } else { next }
}

async fn when_not_paused(paused: &mut watch::Receiver<bool>) {
    paused.wait_for(|paused| !paused).await.unwrap();
}

async fn check_mux(steps: &[Step]) {
    let mut scene = scene();
    let address = format!("ws://{}/", scene.gateway.addresses()[0]);
    let client = mux::connect(&address).await.unwrap();
    let (pause, paused) = watch::channel(false);
    let (answers, mut heard) = mpsc::unbounded_channel();
    let (mut senders, mut readers) = (Vec::new(), Vec::new());
    for route in 0..ROUTES {
        let mut socket = client.endpoint(format!("route{route}")).await.unwrap();
        let sender = socket.sender();
        let (queue, mut queued) = mpsc::unbounded_channel::<String>();
        senders.push(queue);
        tokio::spawn(async move {
            while let Some(text) = queued.recv().await {
                if sender.send(text).await.is_err() {
                    break;
                }
            }
        });
        let (answers, mut paused) = (answers.clone(), paused.clone());
        readers.push(tokio::spawn(async move {
            let mut got = Got::default();
            while let Ok(Some(message)) = socket.recv().await {
                let number = got.take(route, message.as_text().unwrap());
                answers.send((route, number)).ok();
                when_not_paused(&mut paused).await;
            }
            got
        }));
    }
    let sent = play(steps, &mut scene.backends, &senders, &pause, &mut heard).await;
    client.close(tidewire::ws::CloseCode::NORMAL, "").await;
    let mut all = Got::default();
    for reader in readers {
        all.0.extend(reader.await.unwrap().0);
    }
    check_end(scene, &sent, &all).await;
}

async fn check_classic(steps: &[Step]) {
    let mut scene = scene();
    let address = format!("ws://{}/", scene.gateway.addresses()[0]);
    let mut socket = connect(&address).await.unwrap();
    for text in [
        "{event: SMHandshake, data: SYN}",
        "{event: SMHandshake, data: ACK}",
        "{event: SMHandshakeEnd}",
    ] {
        socket.send(text).await.unwrap();
    }
    let (pause, mut paused) = watch::channel(false);
    let (answers, mut heard) = mpsc::unbounded_channel();
    let (mut senders, (queue, mut queued)) = (Vec::new(), mpsc::unbounded_channel::<String>());
    for _ in 0..ROUTES {
        senders.push(queue.clone());
    }
    drop(queue);
    let reader = tokio::spawn(async move {
        let (mut got, mut refused) = (Got::default(), 0);
        loop {
            tokio::select! {
                text = queued.recv() => {
                    let Some(text) = text else { break };
                    let route = text.split(' ').next().unwrap().to_owned();
                    let text = format!("ROUTENAME=route{route}\n{text}");
                    socket.send(Message::text(text)).await.unwrap();
                }
                message = socket.recv(), if !*paused.borrow() => {
                    let message = message.unwrap().unwrap();
                    let text = message.as_text().unwrap();
                    let Some(text) = text.strip_prefix("ROUTENAME=route") else {
                        refused += u32::from(text.contains("SMError"));
                        continue;
                    };
                    let (route, text) = text.split_once('\n').unwrap();
                    let route = route.parse().unwrap();
                    answers.send((route, got.take(route, text))).ok();
                }
                changed = paused.changed() => changed.unwrap(),
            }
        }
        (got, refused)
    });
    let sent = play(steps, &mut scene.backends, &senders, &pause, &mut heard).await;
    drop(senders);
    let (all, refused) = reader.await.unwrap();
    let sent = if refused == 0 { sent } else { Vec::new() };
    check_end(scene, &sent, &all).await;
}

/// What the backends got is in order, too; and without a loss, all.
async fn check_end(scene: Scene, sent: &[u32], all: &Got) {
    let Scene {
        backends,
        arrived,
        gateway,
    } = scene;
    for mut backend in backends {
        backend.kill().await;
    }
    drop(gateway);
    for (route, mut texts) in arrived.into_iter().enumerate() {
        let mut got = Got::default();
        while let Some(text) = texts.recv().await {
            got.take(route, &text);
        }
    }
    for (route, count) in sent.iter().enumerate() {
        let got: Vec<u32> = all.0.get(&route).cloned().unwrap_or_default();
        assert_eq!(got, (0..*count).collect::<Vec<u32>>(), "route {route}");
    }
}

fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(in_time(work));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn mux_keeps_order_and_mixes_no_bytes(steps in prop::collection::vec(step(), 1..150)) {
        run(check_mux(&steps));
    }

    #[test]
    fn smhandshake_keeps_order_and_mixes_no_bytes(steps in prop::collection::vec(step(), 1..150)) {
        run(check_classic(&steps));
    }
}

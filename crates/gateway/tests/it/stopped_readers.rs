//! A reader that has stopped holds up nobody but its own backend, and the gateway keeps no
//! more for it than its windows.

use tidewire::{
    mux,
    ws::{RunningServer, Server, ServerConfig, connect},
};
use tidewire_gateway::{Running, settings::Rates, start};
use tokio::{io::AsyncWriteExt as _, sync::watch};

use crate::{
    support::{alone, echo, endpoint, in_time, resident, settings, url},
    wire::{Fake, Wire, frame, masked, switching},
};

/// Far more than all windows of the gateway, far less than what a leak would let through.
const BOUND: usize = 32 << 20;

/// Two endpoints: one whose backend sends as much as is taken, and tells how much that was, one that echoes;
/// for each way a pinned client is served.
fn flooded() -> (Running, RunningServer, watch::Receiver<usize>) {
    let (count, taken) = watch::channel(0);
    let flood = Fake::start(move |mut wire| {
        let count = count.clone();
        async move {
            let head = wire.head().await;
            wire.write(switching(&head)).await;
            let load = frame(0x82, [7; 10_000]);
            while wire.stream.write_all(&load).await.is_ok() {
                count.send_modify(|count| *count += load.len());
            }
        }
    });
    let echoing = Server::new(ServerConfig::new("127.0.0.1:0".parse().unwrap()))
        .route("/", echo)
        .start()
        .unwrap();
    let mut messages = endpoint("messages", &[flood.url()]);
    messages.rates = Rates {
        messages_per_second: 1_000_000,
        ..Rates::default()
    };
    let endpoints = vec![
        endpoint("bytes", &[flood.url()]),
        messages,
        endpoint("echo", &[url(&echoing, "/")]),
    ];
    (start(settings(endpoints)).unwrap(), echoing, taken)
}

/// Others talk until the flood has come to rest.
async fn talk_until_quiet(gateway: &Running, taken: &watch::Receiver<usize>) {
    let address = format!("ws://{}/?ROUTENAME=echo", gateway.addresses()[0]);
    let mut other = connect(&address).await.unwrap();
    let mut quiet = 0;
    while quiet < 5 {
        let before = *taken.borrow();
        for number in 0..100 {
            let text = format!("{number}");
            other.send(text.as_str()).await.unwrap();
            let answer = other.recv().await.unwrap().unwrap();
            assert_eq!(answer.as_text(), Some(&*text));
        }
        let now = *taken.borrow();
        assert!(
            now < BOUND,
            "{now} bytes were taken for a client that reads nothing"
        );
        quiet = if now == before && now > 0 {
            quiet + 1
        } else {
            0
        };
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_client_that_does_not_read_stops_its_backend() {
    for way in ["bytes", "messages"] {
        let (gateway, _echoing, taken) = flooded();
        in_time(async {
            let _stopped = Wire::open(&gateway, "/", &format!("ROUTENAME: {way}\r\n")).await;
            talk_until_quiet(&gateway, &taken).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_smhandshake_client_that_does_not_read_stops_its_backends() {
    let (gateway, _echoing, taken) = flooded();
    in_time(async {
        let mut stopped = Wire::open(&gateway, "/", "").await;
        for text in [
            "{event: SMHandshake, data: SYN}",
            "{event: SMHandshake, data: ACK}",
            "{event: SMHandshakeEnd}",
            "ROUTENAME=bytes\nbegin",
            "ROUTENAME=messages\nbegin",
        ] {
            stopped.write(masked(0x81, text)).await;
        }
        talk_until_quiet(&gateway, &taken).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mux_stream_without_credit_stops_its_backend_and_its_siblings_go_on() {
    if !alone(
        "stopped_readers::a_mux_stream_without_credit_stops_its_backend_and_its_siblings_go_on",
    ) {
        return;
    }
    let (gateway, _echoing, taken) = flooded();
    in_time(async {
        let address = format!("ws://{}/", gateway.addresses()[0]);
        let client = mux::connect(&address).await.unwrap();
        let before = resident();
        let mut stopped = Vec::new();
        for name in ["bytes", "messages"].repeat(4) {
            stopped.push(client.endpoint(name).await.unwrap());
        }
        let mut sibling = client.endpoint("echo").await.unwrap();
        let mut quiet = 0;
        while quiet < 5 {
            let count = *taken.borrow();
            for number in 0..100 {
                let text = format!("{number}");
                sibling.send(text.as_str()).await.unwrap();
                let answer = sibling.recv().await.unwrap().unwrap();
                assert_eq!(answer.as_text(), Some(&*text));
            }
            let now = *taken.borrow();
            assert!(now < 8 * BOUND, "{now} bytes were taken");
            quiet = if now == count { quiet + 1 } else { 0 };
        }
        // Eight windows of 64 KiB at the client, eight queues of 64 KiB and a read in the gateway.
        let grown = resident().saturating_sub(before);
        assert!(grown < 16 << 20, "{grown} bytes of memory");
        // One that reads again gets all in order.
        let mut first = stopped.swap_remove(0);
        for _ in 0..1000 {
            let message = first.recv().await.unwrap().unwrap();
            assert_eq!(message.payload().len(), 10_000);
        }
    })
    .await;
}

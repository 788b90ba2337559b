//! A backend that is gone without a word: killed, or reset by its machine. Its clients are told by a close frame
//! wherever one can be put: relayed bytes know where frames end, and so between two of them; not in the middle of one, where
//! the client's connection ends as the backend's did (1006). Of the kind are: the end and the reset, before the first
//! frame, behind whole frames and fragments, at every byte of a frame, with bytes of the client under way, after either
//! side's close frame, with the client's socket on HTTP/2.

use tidewire::ws::{Client, CloseCode, Message};
use tidewire_gateway::{
    Running,
    settings::{Endpoint, Extensions},
    start,
};

use crate::{
    support::{echoing, endpoint, in_time, settings, url},
    wire::{Fake, Wire, frame, masked, switching},
};

/// A backend that says this behind its answer, and is gone: with a reset or without.
fn dying(said: Vec<u8>, resets: bool) -> Fake {
    Fake::start(move |mut wire| {
        let said = said.clone();
        async move {
            let head = wire.head().await;
            if head.is_empty() {
                return;
            }
            wire.write([switching(&head).as_bytes(), &said].concat())
                .await;
            // The client's first message: all that was said has arrived.
            assert!(wire.frame().await.is_some());
            if resets {
                wire.stream.set_zero_linger().unwrap();
            }
        }
    })
}

fn gateway(fake: &Fake, extensions: Extensions) -> Running {
    start(settings(vec![Endpoint {
        extensions,
        ..endpoint("one", &[fake.url()])
    }]))
    .unwrap()
}

/// The bytes that a client reads that waits for `said`, then speaks.
async fn read(gateway: &Running, said: &[u8]) -> Vec<u8> {
    let mut client = Wire::open(gateway, "/?ROUTENAME=one", "").await;
    while client.buffer.len() < said.len() {
        assert!(client.more().await);
    }
    client.write(masked(0x81, "go")).await;
    client.rest().await
}

fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    frame(0x88, [&code.to_be_bytes(), reason.as_bytes()].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_a_killed_backend_gets_a_close_frame_between_frames() {
    let gone = close_frame(1014, "the backend is gone");
    let fragment = frame(0x01, "half a message");
    in_time(async {
        for said in [
            Vec::new(),
            frame(0x81, "x"),
            frame(0x82, [7; 300]),
            fragment,
            frame(0x89, "ping"),
        ] {
            for resets in [false, true] {
                let fake = dying(said.clone(), resets);
                let got = read(&gateway(&fake, Extensions::EndToEnd), &said).await;
                assert_eq!(got, [&*said, &gone].concat(), "resets: {resets}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inside_a_frame_the_clients_connection_ends_as_the_backends_did() {
    let whole = [frame(0x81, "first"), frame(0x82, [7; 200])].concat();
    let begin = frame(0x81, "first").len();
    in_time(async {
        for cut in begin + 1..whole.len() {
            if cut > begin + 6 && cut % 50 != 0 {
                continue; // one byte of the payload is like another
            }
            let said = whole[..cut].to_vec();
            let fake = dying(said.clone(), false);
            let got = read(&gateway(&fake, Extensions::EndToEnd), &said).await;
            assert_eq!(got, said, "{cut}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backends_own_close_frame_is_its_last_word() {
    let said = close_frame(1008, "no");
    in_time(async {
        for resets in [false, true] {
            let fake = dying(said.clone(), resets);
            let got = read(&gateway(&fake, Extensions::EndToEnd), &said).await;
            assert_eq!(got, said);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_on_http2_gets_the_same_frame_and_the_others_of_its_connection_go_on() {
    in_time(async {
        for extensions in [Extensions::EndToEnd, Extensions::PerHop] {
            for resets in [false, true] {
                let fake = dying(frame(0x81, "x"), resets);
                let echoing = echoing();
                let dies = Endpoint {
                    extensions,
                    ..endpoint("one", &[fake.url()])
                };
                let mut settings = settings(vec![dies, endpoint("echo", &[url(&echoing, "/")])]);
                settings.listeners[0].http2 = true;
                let gateway = start(settings).unwrap();
                let named = |name| {
                    let address = gateway.addresses()[0];
                    Client::new(&format!("ws://{address}/?ROUTENAME={name}")).unwrap()
                };
                let shared = named("one").connect_http2().await.unwrap();
                let mut other = shared.open(&named("echo")).await.unwrap();
                let mut socket = shared.open(&named("one")).await.unwrap();
                assert_eq!(socket.recv().await.unwrap(), Some(Message::text("x")));
                socket.send("go").await.unwrap();
                assert_eq!(socket.recv().await.unwrap(), None);
                let close = socket.close_frame().unwrap();
                assert_eq!(close.code, CloseCode(1014), "resets: {resets}");
                other.send("still here").await.unwrap();
                let echo = other.recv().await.unwrap();
                assert_eq!(echo, Some(Message::text("still here")));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_messages_are_read_the_client_gets_the_same_frame() {
    let fake = dying(Vec::new(), true);
    let gateway = gateway(&fake, Extensions::PerHop);
    in_time(async {
        let mut client = Wire::open(&gateway, "/?ROUTENAME=one", "").await;
        client.write(masked(0x81, "go")).await;
        assert_eq!(client.close_code().await, Some(1014));
    })
    .await;
}

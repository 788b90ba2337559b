//! A receive that is dropped takes nothing with it, wherever the stream was cut.

use std::{future::poll_fn, io::IoSlice, pin::pin, sync::Arc, task::Poll};

use tidewire::{
    proto::{
        Config, Connection, DeflateConfig, DeflateParameters, Kind, MaskKeys, Role,
        handshake::{
            AcceptOptions, ClientRequest, HeadLimits, RequestHead, RequestOptions, Url, accept,
        },
    },
    ws::{Incoming, WebSocket},
};
use tokio::time::Instant;

use crate::driver::Script;

struct Keys;

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        [9, 8, 7, 6]
    }
}

fn config() -> Config {
    let mut deflate = DeflateConfig::default();
    deflate.threshold = 1;
    deflate.context_takeover = true;
    deflate.peer_context_takeover = true;
    let mut config = Config::default();
    config.deflate = Some(deflate);
    config.ping_interval = None;
    config
}

fn agreed() -> Option<DeflateParameters> {
    let config = config();
    let options = RequestOptions {
        deflate: config.deflate.as_ref(),
        ..RequestOptions::default()
    };
    let request = ClientRequest::new(&Url::parse("ws://a/").unwrap(), [0; 16], options).unwrap();
    let head = RequestHead::parse(request.request.into(), HeadLimits::default()).unwrap();
    let options = AcceptOptions {
        deflate: config.deflate.as_ref(),
        ..AcceptOptions::default()
    };
    accept(&head, options).unwrap().deflate
}

fn core(role: Role, deflate: bool) -> Connection {
    let (config, now) = (Arc::new(config()), Instant::now().into_std());
    let core = match role {
        Role::Server => Connection::server(config, now),
        Role::Client => Connection::client(config, Box::new(Keys), now),
    };
    core.with_deflate(deflate.then(agreed).flatten())
}

/// Whole messages, messages in fragments with a ping in between, an empty one, a close.
fn stream(from: Role, deflate: bool) -> Vec<u8> {
    let mut core = core(from, deflate);
    core.send(&"first, first, first, first".into()).unwrap();
    for (number, part) in ["κόσμε κόσμε", "", " κόσμε", "."].into_iter().enumerate()
    {
        core.send_fragment(Kind::Text, part.as_bytes(), number == 3)
            .unwrap();
        core.ping(b"between").unwrap();
    }
    core.send(&vec![7; 300].into()).unwrap();
    core.send(&"".into()).unwrap();
    core.close(
        tidewire::proto::CloseCode::NORMAL,
        "bye",
        Instant::now().into_std(),
    );
    let mut parts = [IoSlice::new(&[]); 4];
    let count = core.poll_transmit(&mut parts);
    parts[..count]
        .iter()
        .flat_map(|part| part.to_vec())
        .collect()
}

/// Polls once, then drops the future.
async fn poll_and_drop<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// What comes of a stream in these pieces, when no receive lives longer than one poll.
async fn received(role: Role, deflate: bool, pieces: impl Iterator<Item = &[u8]>) -> Vec<String> {
    let script = Script::default();
    let mut socket = WebSocket::new(script.clone(), core(role, deflate), Vec::new());
    let mut seen = Vec::new();
    for piece in pieces {
        script.push(piece.to_vec());
        while let Some(incoming) = poll_and_drop(socket.recv_any()).await {
            match incoming.unwrap() {
                Some(Incoming::Message(message)) => seen.push(format!("{message:?}")),
                Some(other) => seen.push(format!("{other:?}")),
                None => break,
            }
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn receives_dropped_at_every_byte_lose_nothing_in_both_roles() {
    for (role, from) in [(Role::Server, Role::Client), (Role::Client, Role::Server)] {
        for deflate in [false, true] {
            let bytes = stream(from, deflate);
            let whole = received(role, deflate, std::iter::once(&bytes[..])).await;
            assert_eq!(whole.len(), 9, "4 messages, 4 pings, the close: {whole:?}");
            let bytewise = received(role, deflate, bytes.chunks(1)).await;
            assert_eq!(bytewise, whole, "{role:?}, compressed: {deflate}");
            for cut in 1..bytes.len() {
                let (one, two) = bytes.split_at(cut);
                let seen = received(role, deflate, [one, two].into_iter()).await;
                assert_eq!(seen, whole, "{role:?}, compressed: {deflate}, cut at {cut}");
            }
        }
    }
}

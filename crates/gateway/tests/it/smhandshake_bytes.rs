//! `SMHandshake` byte by byte: how a dialogue is cut into TCP segments and fragments changes no answer.

use tidewire_gateway::{Running, start};

use crate::{
    support::{echo, endpoint, in_time, settings, url},
    wire::{Wire, masked, upgrade},
};

/// What a client says, text or binary.
const DIALOGUE: &[(u8, &str)] = &[
    (1, "{event: SMHandshake, data: SYN}"),
    (1, "{event: SMHandshake, data: ACK}"),
    (1, "{event: SMHandshake, data: Endpoint1}"),
    (1, "{\"event\":\"SMHandshake\",\"data\":\"nobody\"}"),
    (1, "{\"event\":\"SMHandshake\",\"data\":\"\u{e9}ndpoint\"}"),
    (1, "{event: SMHandshakeEnd}"),
    (1, "ROUTENAME=endpoint1\nh\u{e9}llo \u{1f30a}"),
    (2, "ROUTENAME=Endpoint2\r\n\r\n\0\u{1}\u{2}"),
    (1, "ROUTENAME=nobody\nhello"),
    (1, "no route line"),
    (1, "ROUTENAME=endpoint1\n"),
];

/// How a dialogue is cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// One write for each message.
    Whole,
    /// One write for each byte.
    Bytes,
    /// One write for all.
    Together,
    /// Fragments of so many bytes, a ping between two.
    Fragments(usize),
    /// The same, and one write for each byte.
    FragmentBytes(usize),
}

fn frames(opcode: u8, text: &str, fragment: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut parts = text.as_bytes().chunks(fragment).peekable();
    let mut first = opcode;
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        out.extend(masked(first | if last { 0x80 } else { 0 }, part));
        if !last {
            out.extend(masked(0x89, "between"));
        }
        first = 0;
    }
    out
}

async fn answers(gateway: &Running, cut: Cut) -> Vec<(u8, Vec<u8>)> {
    let mut wire = Wire::to(gateway).await;
    let fragment = match cut {
        Cut::Whole | Cut::Bytes | Cut::Together => usize::MAX,
        Cut::Fragments(len) | Cut::FragmentBytes(len) => len,
    };
    let mut pieces = vec![upgrade("/", "").into_bytes()];
    pieces.extend(
        DIALOGUE
            .iter()
            .map(|(opcode, text)| frames(*opcode, text, fragment)),
    );
    match cut {
        Cut::Together => wire.write(pieces.concat()).await,
        Cut::Whole | Cut::Fragments(_) => {
            for piece in pieces {
                wire.write(piece).await;
            }
        }
        Cut::Bytes | Cut::FragmentBytes(_) => {
            for byte in pieces.concat() {
                wire.write([byte]).await;
                tokio::task::yield_now().await; // a segment of its own
            }
        }
    }
    let head = wire.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut answers = Vec::new();
    // ACK has no answer of its own.
    while answers.len() < DIALOGUE.len() - 1 {
        let frame = wire.frame().await.unwrap();
        if frame.first != 0x8a {
            answers.push((frame.first, frame.payload));
        }
    }
    // Echoes come when the backend has answered, the gateway's own answers at once.
    answers.sort();
    answers
}

/// Parity: M-27, M-28.
#[tokio::test]
async fn the_answers_do_not_depend_on_how_the_dialogue_is_cut() {
    let server = tidewire::ws::Server::new(tidewire::ws::ServerConfig::new(
        "127.0.0.1:0".parse().unwrap(),
    ))
    .route("/", echo)
    .start()
    .unwrap();
    let endpoints = ["endpoint1", "endpoint2"].map(|name| endpoint(name, &[url(&server, "/")]));
    let gateway = start(settings(endpoints.into())).unwrap();
    in_time(async {
        let whole = answers(&gateway, Cut::Whole).await;
        let text = |answer: &str| whole.contains(&(0x81, answer.as_bytes().to_vec()));
        assert!(text("{event: SMHandshake, data: SYN/ACK}"));
        assert!(text("ROUTENAME=endpoint1\nh\u{e9}llo \u{1f30a}"));
        for cut in [
            Cut::Bytes,
            Cut::Together,
            Cut::Fragments(1),
            Cut::Fragments(2),
            Cut::Fragments(3),
            Cut::Fragments(7),
            Cut::FragmentBytes(1),
            Cut::FragmentBytes(5),
        ] {
            assert_eq!(answers(&gateway, cut).await, whole, "{cut:?}");
        }
    })
    .await;
}

//! The example `gateway_client`, against a scripted gateway.

use tidewire::proto::mux::{Body, Close, Frame, Side};
use tokio::sync::mpsc;

use super::script::{Script, start, within};

#[path = "../../../examples/gateway_client/conversation.rs"]
mod conversation;
#[path = "../../../examples/gateway_client/names.rs"]
mod names;

/// Answers OPEN; gives the name that was asked for.
async fn answer(script: &mut Script, known: bool) -> String {
    let bytes = script.hear().await;
    let frame = Frame::decode(&bytes, Side::Client).unwrap();
    let Body::Open(open) = frame.body else {
        panic!("{frame:?}");
    };
    let answer = if known {
        Body::Accept {
            credit: 65_536,
            subprotocol: None,
        }
    } else {
        Body::Reject {
            status: 404,
            reason: "no such endpoint",
        }
    };
    script.say(frame.stream, answer).await;
    open.name.to_owned()
}

/// Parity: M-07.
#[tokio::test]
async fn the_example_opens_what_its_file_names_and_says_what_the_gateway_does_not_know() {
    within(async {
        let (gateway, mut script) = start().await;
        let expected = names::read("Endpoint1\n  Endpoint2 \r\n\nendpoint1\nEndpoint3");
        assert_eq!(expected, ["Endpoint1", "Endpoint2", "Endpoint3"]);
        let (typed, input) = mpsc::channel(4);
        let (prints, mut printed) = mpsc::channel(16);
        let talk = async {
            conversation::run(&gateway, &expected, input, |line| {
                prints.try_send(line).unwrap();
            })
            .await;
        };
        let gateway_side = async {
            assert_eq!(answer(&mut script, true).await, "Endpoint1");
            assert_eq!(answer(&mut script, false).await, "Endpoint2");
            assert_eq!(answer(&mut script, true).await, "Endpoint3");
            for line in ["Endpoint2: x", "no name", "endpoint3 : how are you: well?"] {
                typed.send(line.into()).await.unwrap();
            }
            let (stream, _, payload) = script.expect_data().await;
            assert_eq!((stream, &payload[..]), (3, &b"how are you: well?"[..]));
            script.text(3, b"fine", true).await;
            script.say(3, Body::Close(None)).await;
            script.expect(3, Body::Close(None)).await;
            let code = tidewire::ws::CloseCode(4000);
            let close = Body::Close(Some(Close::new(code, "bye")));
            script.say(1, close).await;
            script.expect(1, Body::Close(None)).await;
        };
        tokio::join!(talk, gateway_side);
        let mut lines = Vec::new();
        while let Ok(line) = printed.try_recv() {
            lines.push(line);
        }
        let rest = lines.split_off(3);
        assert_eq!(
            lines,
            [
                "Endpoint1 is open",
                "Endpoint2 is expected, but the gateway does not know it",
                "Endpoint3 is open",
            ]
        );
        for line in [
            "Endpoint2 is not open",
            "expected NAME: TEXT, got no name",
            "Endpoint3: fine",
            "Endpoint3 was closed",
            "Endpoint1 was closed with 4000 bye",
        ] {
            assert!(rest.iter().any(|printed| printed == line), "{rest:?}");
        }
    })
    .await;
}

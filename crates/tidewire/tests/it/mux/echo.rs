//! A gateway whose backends all echo, with the credit it has: what cannot go back yet waits, and its credit
//! is not given back.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tidewire::{
    proto::mux::{Body, DataFlags, Frame, ReceiveCredit, SendCredit, Side},
    ws::Message,
};

use super::script::Script;

struct Echo {
    receive: ReceiveCredit,
    send: SendCredit,
    /// Frames that wait for credit: what is left of each, and how long it was.
    waiting: VecDeque<(DataFlags, Bytes, usize)>,
}

/// Until the client closes the connection; gives how many streams were closed.
pub(super) async fn run(mut script: Script, window: u32) -> usize {
    let mut streams: BTreeMap<u32, Echo> = BTreeMap::new();
    let mut closed = 0;
    while let Some(Message::Binary(bytes)) = script.socket.recv().await.unwrap() {
        let frame = Frame::decode(&bytes, Side::Client).unwrap();
        let number = frame.stream;
        match frame.body {
            Body::Open(open) => {
                let echo = Echo {
                    receive: ReceiveCredit::new(number, window),
                    send: SendCredit::new(number, open.credit),
                    waiting: VecDeque::new(),
                };
                assert!(streams.insert(number, echo).is_none(), "a new number");
                let accept = Body::Accept {
                    credit: window,
                    subprotocol: None,
                };
                script.say(number, accept).await;
            }
            Body::Data { flags, payload } => {
                let echo = streams.get_mut(&number).unwrap();
                echo.receive.charge(payload.len()).unwrap();
                let payload = bytes.slice_ref(payload);
                let len = payload.len();
                echo.waiting.push_back((flags, payload, len));
                send_back(&mut script, number, echo).await;
            }
            Body::Credit(increment) => {
                let echo = streams.get_mut(&number).unwrap();
                echo.send.add(increment).unwrap();
                send_back(&mut script, number, echo).await;
            }
            Body::Close(_) => {
                let echo = streams.remove(&number).unwrap();
                assert!(echo.waiting.is_empty(), "everything came back");
                closed += 1;
                script.say(number, Body::Close(None)).await;
            }
            Body::Accept { .. }
            | Body::Reject { .. }
            | Body::Ping(_)
            | Body::Pong(_)
            | Body::Down { .. }
            | Body::Up
            | Body::GoAway { .. } => panic!("{frame:?} was not asked for"),
        }
    }
    closed
}

/// As much as the credit allows, cut anew.
async fn send_back(script: &mut Script, number: u32, echo: &mut Echo) {
    while let Some((flags, payload, whole)) = echo.waiting.front_mut() {
        let Some(len) = echo.send.take(payload.len()) else {
            return;
        };
        let piece = payload.split_to(len);
        let last = flags.last && payload.is_empty();
        let flags = DataFlags { last, ..*flags };
        let body = Body::Data {
            flags,
            payload: &piece,
        };
        script.say(number, body).await;
        if !payload.is_empty() {
            continue;
        }
        let given = echo.receive.give_back(*whole);
        echo.waiting.pop_front();
        if let Some(increment) = given {
            script.say(number, Body::Credit(increment)).await;
        }
    }
}

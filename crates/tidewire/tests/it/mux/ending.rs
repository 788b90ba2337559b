//! Close from either end, loss of the connection, broken rules.

use tidewire::{
    mux::{Lost, OpenError, RecvError, SendError},
    proto::mux::{Body, Close, DataFlags},
    ws::{CloseCode, CloseFrame, Message},
};

use super::script::{start, within};

fn close(code: u16, reason: &str) -> Body<'_> {
    Body::Close(Some(Close::new(CloseCode(code), reason)))
}

#[tokio::test]
async fn a_close_of_the_gateway_comes_after_its_messages_and_is_answered() {
    within(async {
        let (gateway, mut script) = start().await;
        let mut socket = script.open(&gateway, 1, 65_536).await;
        script.text(1, b"last words", true).await;
        script.say(1, close(4001, "kicked")).await;
        script.expect(1, Body::Close(None)).await;
        let last = socket.recv().await.unwrap();
        assert_eq!(last, Some(Message::text("last words")));
        for _ in 0..2 {
            assert_eq!(socket.recv().await.unwrap(), None);
        }
        let frame = CloseFrame::new(CloseCode(4001), "kicked");
        assert_eq!(socket.close_frame(), Some(frame.clone()));
        let error = socket.send("anybody?").await.unwrap_err();
        assert!(matches!(error, SendError::Closed), "{error}");
        let closed = socket.close(CloseCode::NORMAL, "").await.unwrap();
        assert_eq!(closed, Some(frame));
        drop(socket);
        script.settle().await; // and nothing more was said
    })
    .await;
}

#[tokio::test]
async fn a_close_of_ours_comes_after_our_messages_and_waits_for_the_answer() {
    within(async {
        let (gateway, mut script) = start().await;
        let mut socket = script.open(&gateway, 1, 65_536).await;
        let sender = socket.sender();
        socket.send("last words").await.unwrap();
        let answer = async {
            let (_, _, payload) = script.expect_data().await;
            assert_eq!(&payload[..], b"last words");
            script.expect(1, close(1000, "done")).await;
            script.text(1, b"crossing", true).await;
            script.say(1, close(4000, "bye")).await;
        };
        let (closed, ()) = tokio::join!(socket.close(CloseCode::NORMAL, "done"), answer);
        let frame = CloseFrame::new(CloseCode(4000), "bye");
        assert_eq!(closed.unwrap(), Some(frame));
        assert_eq!(socket.recv().await.unwrap(), None);
        assert!(matches!(sender.send("x").await, Err(SendError::Closed)));
    })
    .await;
}

#[tokio::test]
async fn a_dropped_socket_is_given_up_with_1001_and_its_senders_are_told() {
    within(async {
        let (gateway, mut script) = start().await;
        let socket = script.open(&gateway, 1, 16_390).await;
        let sender = socket.sender();
        sender.send(Message::binary(vec![0; 20_000])).await.unwrap();
        script.expect_data().await;
        let mut waits = Box::pin(sender.send("never sent"));
        tokio::select! {
            biased;
            sent = &mut waits => panic!("{sent:?} without credit"),
            () = script.settle() => {}
        }
        drop(socket);
        assert!(matches!(waits.await, Err(SendError::Closed)));
        script.expect(1, close(1001, "")).await;
        script.say(1, Body::Close(None)).await;
        script.settle().await;
    })
    .await;
}

#[tokio::test]
async fn the_last_handle_closes_the_connection_with_1000() {
    within(async {
        let (gateway, mut script) = start().await;
        let mut socket = script.open(&gateway, 1, 65_536).await;
        drop(gateway);
        script.text(1, b"still open", true).await;
        assert!(socket.recv().await.unwrap().is_some());
        drop(socket);
        script.expect(1, close(1001, "")).await;
        assert!(script.socket.recv().await.unwrap().is_none());
        let frame = script.socket.close_frame().unwrap();
        assert_eq!(frame.code, CloseCode::NORMAL);
    })
    .await;
}

#[tokio::test]
async fn closing_the_connection_ends_its_sockets() {
    within(async {
        let (gateway, mut script) = start().await;
        let mut socket = script.open(&gateway, 1, 65_536).await;
        socket.send("goes out").await.unwrap();
        let peer = async {
            script.expect_data().await;
            assert!(script.socket.recv().await.unwrap().is_none());
        };
        tokio::join!(gateway.close(CloseCode(4321), "enough"), peer);
        let frame = script.socket.close_frame().unwrap();
        assert_eq!(*frame, CloseFrame::new(CloseCode(4321), "enough"));
        assert!(matches!(gateway.closed().await, Lost::ClosedHere));
        let error = socket.recv().await.unwrap_err();
        assert!(matches!(error, RecvError::Lost(Lost::ClosedHere)));
        let error = gateway.endpoint("a").await.unwrap_err();
        assert!(matches!(error, OpenError::Lost(Lost::ClosedHere)));
    })
    .await;
}

#[tokio::test]
async fn a_lost_connection_fails_everybody_who_waits() {
    within(async {
        let (gateway, mut script) = start().await;
        let mut socket = script.open(&gateway, 1, 16_390).await;
        let stuck = socket.sender();
        stuck.send(Message::binary(vec![0; 20_000])).await.unwrap();
        script.expect_data().await;
        let lose = async {
            script.hear().await; // OPEN, which nobody answers
            drop(script);
        };
        let (received, sent, opened, lost, away, ()) = tokio::join!(
            socket.recv(),
            stuck.send("no credit"),
            gateway.endpoint("b").into_future(),
            gateway.closed(),
            gateway.going_away(),
            lose,
        );
        let lost_by = |lost: &Lost| matches!(lost, Lost::Connection(_));
        assert!(matches!(received.unwrap_err(), RecvError::Lost(lost) if lost_by(&lost)));
        assert!(matches!(sent.unwrap_err(), SendError::Lost(lost) if lost_by(&lost)));
        assert!(matches!(opened.unwrap_err(), OpenError::Lost(lost) if lost_by(&lost)));
        assert!(lost_by(&lost), "{lost}");
        assert_eq!(away, None);
    })
    .await;
}

#[tokio::test]
async fn a_gateway_that_closes_says_why() {
    within(async {
        let (gateway, mut script) = start().await;
        script
            .socket
            .close(CloseCode(1012), "restart")
            .await
            .unwrap();
        let lost = gateway.closed().await;
        assert_eq!(
            lost.to_string(),
            "the gateway closed the connection with 1012: restart"
        );
    })
    .await;
}

#[tokio::test]
async fn a_gateway_that_breaks_a_rule_is_told_which() {
    let piece = |binary| Body::Data {
        flags: DataFlags {
            last: false,
            binary,
        },
        payload: b"x",
    };
    let accept = || Body::Accept {
        credit: 65_536,
        subprotocol: None,
    };
    let rules = [
        (
            vec![(7, piece(true))],
            "expected a stream of at most 1, got 7",
        ),
        (
            vec![(1, piece(true)), (1, piece(false))],
            "expected all frames of a message to be of one kind on stream 1",
        ),
        (
            vec![(1, accept())],
            "expected stream 1 to be accepted or rejected once",
        ),
        (
            vec![(1, Body::Credit(0x7fff_ffff))],
            "expected the credit of stream 1 to stay below 2^31",
        ),
    ];
    for (frames, expected) in rules {
        within(async {
            let (gateway, mut script) = start().await;
            let _socket = script.open(&gateway, 1, 65_536).await;
            for (stream, body) in frames {
                script.say(stream, body).await;
            }
            assert!(script.socket.recv().await.unwrap().is_none());
            let frame = script.socket.close_frame().unwrap();
            assert_eq!((frame.code.0, &*frame.reason), (1002, expected));
            assert!(matches!(gateway.closed().await, Lost::Protocol(_)));
        })
        .await;
    }
}

#[tokio::test]
async fn messages_that_are_no_frames_end_the_connection_with_1002() {
    let messages = [
        (Message::text("hello"), "expected binary messages only"),
        (
            Message::binary(vec![4]),
            "expected at least 5 bytes in a frame",
        ),
        (
            Message::binary(vec![1, 0, 0, 0, 1]),
            "expected OPEN from the client only",
        ),
    ];
    for (message, expected) in messages {
        within(async {
            let (gateway, mut script) = start().await;
            script.socket.send(message).await.unwrap();
            assert!(script.socket.recv().await.unwrap().is_none());
            let frame = script.socket.close_frame().unwrap();
            assert_eq!((frame.code.0, &*frame.reason), (1002, expected));
            assert!(matches!(gateway.closed().await, Lost::Protocol(_)));
        })
        .await;
    }
}

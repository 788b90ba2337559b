//! Order, pieces, many sockets at once.

use tidewire::{
    mux::{Gateway, RecvError},
    proto::mux::{Body, Close},
    ws::{CloseCode, Message},
};
use tokio::task::JoinSet;

use super::{
    echo,
    script::{start, within},
};

#[tokio::test]
async fn pieces_are_put_together_and_may_cut_a_character() {
    within(async {
        let (gateway, mut script) = start().await;
        let mut one = script.open(&gateway, 1, 65_536).await;
        let mut two = script.open(&gateway, 2, 65_536).await;
        script.text(1, &[0xe2, 0x82], false).await;
        script.text(2, b"other", false).await;
        script.text(1, b"", false).await;
        script.text(2, b" socket", true).await;
        script.text(1, &[0xac], true).await;
        assert_eq!(one.recv().await.unwrap(), Some(Message::text("€")));
        assert_eq!(
            two.recv().await.unwrap(),
            Some(Message::text("other socket"))
        );
        script.binary(1, b"").await;
        let empty = one.recv().await.unwrap();
        assert_eq!(empty, Some(Message::binary(Vec::new())));
    })
    .await;
}

#[tokio::test]
async fn a_receive_that_is_given_up_loses_no_piece() {
    within(async {
        let (gateway, mut script) = start().await;
        let mut socket = script.open(&gateway, 1, 65_536).await;
        script.text(1, b"one ", false).await;
        tokio::select! {
            biased;
            received = socket.recv() => panic!("{received:?} is not whole"),
            () = script.settle() => {}
        }
        script.text(1, b"message", true).await;
        let whole = socket.recv().await.unwrap();
        assert_eq!(whole, Some(Message::text("one message")));
    })
    .await;
}

#[tokio::test]
async fn a_message_is_cut_to_frames_and_sockets_take_turns() {
    within(async {
        let (gateway, mut script) = start().await;
        let one = script.open(&gateway, 1, 100_000).await;
        let two = script.open(&gateway, 2, 100_000).await;
        one.send(Message::binary(vec![1; 40_000])).await.unwrap();
        two.send(Message::text("2".repeat(20_000))).await.unwrap();
        for (stream, len, last) in [
            (1, 16_384, false),
            (2, 16_384, false),
            (1, 16_384, false),
            (2, 3_616, true),
            (1, 7_232, true),
        ] {
            let (from, flags, payload) = script.expect_data().await;
            assert_eq!((from, payload.len(), flags.last), (stream, len, last));
            assert_eq!(flags.binary, stream == 1);
        }
        one.send("").await.unwrap();
        let (_, flags, payload) = script.expect_data().await;
        assert!(flags.last && payload.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_message_above_the_limit_closes_its_socket_with_1009() {
    within(async {
        let (gateway, mut script) = start().await;
        let endpoint = gateway.endpoint("a").message_bytes_max(100);
        let answer = async {
            script.hear().await;
            let accept = Body::Accept {
                credit: 65_536,
                subprotocol: None,
            };
            script.say(1, accept).await;
        };
        let (socket, ()) = tokio::join!(endpoint.into_future(), answer);
        let mut socket = socket.unwrap();
        script.binary(1, &[0; 100]).await;
        assert!(socket.recv().await.unwrap().is_some());
        script.text(1, &[b'a'; 60], false).await;
        script.text(1, &[b'a'; 60], false).await;
        for _ in 0..2 {
            let error = socket.recv().await.unwrap_err();
            assert!(matches!(error, RecvError::TooBig { max: 100 }), "{error}");
        }
        let why = "message too big: more than 100 bytes";
        let close = Close::new(CloseCode(1009), why);
        script.expect(1, Body::Close(Some(close))).await;
    })
    .await;
}

#[tokio::test]
async fn text_that_is_not_utf8_closes_its_socket_with_1007() {
    within(async {
        let (gateway, mut script) = start().await;
        let mut socket = script.open(&gateway, 1, 65_536).await;
        script.text(1, &[b'a', 0xff], true).await;
        let error = socket.recv().await.unwrap_err();
        assert!(matches!(error, RecvError::InvalidUtf8), "{error}");
        let close = Close::new(CloseCode(1007), "text is not valid UTF-8");
        script.expect(1, Body::Close(Some(close))).await;
    })
    .await;
}

/// Messages of all sizes around the size of a frame and of the credit.
fn message(socket: usize, sender: usize, number: usize) -> Message {
    let len = [0, 1, 100, 5_000, 16_384, 16_385, 70_000][(socket + sender * 3 + number) % 7];
    let text = format!("{socket} {sender} {number} {}", "x".repeat(len));
    if number.is_multiple_of(2) {
        Message::text(text)
    } else {
        Message::binary(text)
    }
}

const MESSAGES: usize = 40;

/// Two tasks send on one socket, a third receives what comes back.
async fn talk(gateway: Gateway, number: usize) {
    let mut socket = gateway.endpoint(format!("e{number}")).await.unwrap();
    let mut tasks = JoinSet::new();
    for task in 0..2 {
        let sender = socket.sender();
        tasks.spawn(async move {
            for index in 0..MESSAGES {
                sender.send(message(number, task, index)).await.unwrap();
            }
        });
    }
    let mut next = [0; 2];
    for _ in 0..2 * MESSAGES {
        let received = socket.recv().await.unwrap().expect("an echo");
        let text = String::from_utf8(received.payload().to_vec()).unwrap();
        let words: Vec<&str> = text.splitn(4, ' ').collect();
        let task: usize = words[1].parse().unwrap();
        assert_eq!(received, message(number, task, next[task]), "in order");
        next[task] += 1;
    }
    tasks.join_all().await;
    let closed = socket.close(CloseCode::NORMAL, "done").await.unwrap();
    assert_eq!(closed, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sockets_of_many_tasks_keep_their_order_and_mix_nothing() {
    within(async {
        let (gateway, script) = start().await;
        let echo = tokio::spawn(echo::run(script, 20_000));
        let mut sockets = JoinSet::new();
        for number in 0..12 {
            sockets.spawn(talk(gateway.clone(), number));
        }
        sockets.join_all().await;
        gateway.close(CloseCode::NORMAL, "all said").await;
        assert_eq!(echo.await.unwrap(), 12);
    })
    .await;
}

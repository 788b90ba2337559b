//! Who waits for whom: a stream without credit alone, and never for ever.

use tidewire::{
    mux::{Lost, RecvError, SendError},
    proto::mux::{Body, CREDIT_MAX, FIRST_CREDIT_MIN},
    ws::Message,
};

use super::script::{start, within};

#[tokio::test]
async fn a_socket_without_credit_waits_alone() {
    within(async {
        let (gateway, mut script) = start().await;
        let stuck = script.open(&gateway, 1, FIRST_CREDIT_MIN).await;
        let free = script.open(&gateway, 2, 65_536).await;
        stuck.send(Message::binary(vec![7; 20_000])).await.unwrap();
        let (_, flags, payload) = script.expect_data().await;
        assert_eq!((flags.last, payload.len()), (false, 16_384));
        let mut next = Box::pin(stuck.send("waits for its turn"));
        tokio::select! {
            biased;
            sent = &mut next => panic!("{sent:?} without credit"),
            () = async {
                for _ in 0..3 {
                    free.send("goes on").await.unwrap();
                    let (stream, _, payload) = script.expect_data().await;
                    assert_eq!((stream, &payload[..]), (2, &b"goes on"[..]));
                }
            } => {}
        }
        script.say(1, Body::Credit(106)).await;
        let (stream, flags, payload) = script.expect_data().await;
        assert_eq!((stream, flags.last, payload.len()), (1, false, 100));
        script.say(1, Body::Credit(20_000)).await;
        let (_, flags, payload) = script.expect_data().await;
        assert_eq!((flags.last, payload.len()), (true, 3_516));
        next.await.unwrap();
        let (_, _, payload) = script.expect_data().await;
        assert_eq!(&payload[..], b"waits for its turn");
    })
    .await;
}

#[tokio::test]
async fn a_socket_that_nobody_reads_holds_its_credit_and_no_more() {
    within(async {
        let (gateway, mut script) = start().await;
        let mut stopped = script.open(&gateway, 1, 65_536).await;
        let mut other = script.open(&gateway, 2, 65_536).await;
        for _ in 0..4 {
            script.binary(1, &[1; 16_378]).await;
        }
        script.settle().await; // no credit was given for any of it
        script.text(2, b"not delayed", true).await;
        let message = other.recv().await.unwrap();
        assert_eq!(message, Some(Message::text("not delayed")));
        for number in 0..4 {
            assert!(stopped.recv().await.unwrap().is_some());
            if number % 2 == 1 {
                script.expect(1, Body::Credit(32_768)).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_message_above_the_credit_is_put_together_while_it_is_received() {
    within(async {
        let (gateway, mut script) = start().await;
        let mut socket = script.open(&gateway, 1, 65_536).await;
        let send = async {
            for number in 0..20 {
                script.text(1, &[b'a'; 16_378], number == 19).await;
                if number % 2 == 1 {
                    script.expect(1, Body::Credit(32_768)).await;
                }
            }
        };
        let (message, ()) = tokio::join!(socket.recv(), send);
        let message = message.unwrap().unwrap();
        assert_eq!(message.payload().len(), 20 * 16_378);
    })
    .await;
}

#[tokio::test]
async fn more_than_the_credit_ends_the_connection_with_1002() {
    within(async {
        let (gateway, mut script) = start().await;
        let mut socket = script.open(&gateway, 1, 65_536).await;
        for _ in 0..4 {
            script.binary(1, &[1; 16_378]).await;
        }
        script.binary(1, b"").await;
        assert!(script.socket.recv().await.unwrap().is_none());
        let told = script.socket.close_frame().unwrap();
        assert_eq!(told.code.0, 1002);
        let expected = "expected at most 0 bytes of DATA on stream 1, got 6";
        assert_eq!(told.reason, expected);
        assert!(matches!(gateway.closed().await, Lost::Protocol(_)));
        for _ in 0..4 {
            assert!(socket.recv().await.unwrap().is_some(), "what was right");
        }
        let error = socket.recv().await.unwrap_err();
        assert!(matches!(error, RecvError::Lost(Lost::Protocol(_))));
        let error = socket.send("too late").await.unwrap_err();
        assert!(matches!(error, SendError::Lost(Lost::Protocol(_))));
    })
    .await;
}

#[tokio::test]
async fn receiving_goes_on_while_the_gateway_reads_nothing() {
    within(async {
        let (gateway, mut script) = start().await;
        let mut socket = script.open(&gateway, 1, CREDIT_MAX).await;
        let large = 24 << 20; // more than all buffers on the way
        socket.send(Message::binary(vec![3; large])).await.unwrap();
        for _ in 0..100 {
            script.text(1, b"heard", true).await;
            assert!(socket.recv().await.unwrap().is_some());
        }
        let mut arrived = 0;
        loop {
            let (_, flags, payload) = script.expect_data().await;
            assert!(payload.iter().all(|byte| *byte == 3));
            arrived += payload.len();
            if flags.last {
                break;
            }
        }
        assert_eq!(arrived, large);
    })
    .await;
}

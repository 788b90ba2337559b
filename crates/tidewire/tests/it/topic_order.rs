//! The order between what is published to a topic and what is sent to one of its members, in virtual
//! time.

use tidewire::{
    proto::{CloseCode, Message, MessageRef, Prepared},
    ws::{Handler, SendError, Sender, Session, Topic},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, duplex},
    task::JoinHandle,
};

use crate::driver::{Script, client, client_bytes, no_pings, server};

fn frames(texts: &[&str]) -> Vec<u8> {
    let frame = |text: &&str| Prepared::text(text).frame().to_vec();
    texts.iter().flat_map(frame).collect()
}

/// A member that waits to receive.
async fn member(topic: &Topic, script: &Script) -> (Sender<Script>, JoinHandle<()>) {
    let mut socket = server(script.clone(), no_pings());
    socket.join(topic);
    let sender = socket.sender();
    let receiving = tokio::spawn(async move { while let Ok(Some(_)) = socket.recv().await {} });
    tokio::task::yield_now().await;
    (sender, receiving)
}

#[tokio::test(start_paused = true)]
async fn a_sender_does_not_overtake_what_its_task_has_published() {
    let (topic, script) = (Topic::default(), Script::default());
    let (sender, receiving) = member(&topic, &script).await;
    for round in ["first", "second"] {
        topic.publish_text(round);
        sender.try_send(&Message::text("tried")).unwrap();
        topic.publish_text("between");
        sender.send("sent").await.unwrap();
        topic.publish_text("behind");
        tokio::task::yield_now().await;
    }
    let expected =
        ["first", "second"].map(|round| frames(&[round, "tried", "between", "sent", "behind"]));
    assert_eq!(script.writes().concat(), expected.concat());
    receiving.abort();
}

/// Publishes and sends by every handle, while its connection's encoder is checked out.
struct Mixed(Topic);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Handler<S> for Mixed {
    fn opened(&mut self, session: &mut Session<'_, S>) {
        session.join(&self.0);
    }

    fn message(&mut self, session: &mut Session<'_, S>, message: MessageRef<'_>) {
        let sender = session.sender();
        self.0.publish_text("1");
        sender.try_send(&Message::text("2")).unwrap();
        self.0.publish_text("3");
        session.send(message.kind(), message.payload()).unwrap();
        self.0.publish_text("5");
        sender.try_send(&Message::text("6")).unwrap();
        self.0.publish_text("7");
        session.close(CloseCode::NORMAL, "");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_mixes_all_handles_is_seen_in_order() {
    let script = Script::default();
    script.push(client_bytes(&["4"]));
    let serving = tokio::spawn(server(script.clone(), no_pings()).run(Mixed(Topic::default())));
    tokio::task::yield_now().await;
    let close = b"\x88\x02\x03\xe8".to_vec();
    let expected = [frames(&["1", "2", "3", "4", "5", "6", "7"]), close].concat();
    assert_eq!(script.writes(), [expected], "in one write");
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_publishes_and_answers_is_seen_in_order_and_in_one_write() {
    let (topic, script) = (Topic::default(), Script::default());
    script.push(client_bytes(&["a", "b", "c"]));
    let serving = server(script.clone(), no_pings()).serve(|mut socket| {
        Box::pin(async move {
            socket.join(&topic);
            while let Ok(Some(message)) = socket.recv().await {
                topic.publish_text("news");
                socket.send(message).await.unwrap();
            }
        })
    });
    let serving = tokio::spawn(serving);
    tokio::task::yield_now().await;
    assert_eq!(
        script.writes().concat(),
        frames(&["news", "a", "news", "b", "news", "c"])
    );
    assert!(script.writes().len() <= 2, "{:?}", script.writes());
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn publications_go_out_before_the_close_frame_of_a_sender() {
    let (topic, script) = (Topic::default(), Script::default());
    let (sender, receiving) = member(&topic, &script).await;
    topic.publish_text("last words");
    sender.close(CloseCode::NORMAL, "");
    topic.publish_text("too late");
    tokio::task::yield_now().await;
    let close = b"\x88\x02\x03\xe8".to_vec();
    assert_eq!(
        script.writes().concat(),
        [frames(&["last words"]), close].concat()
    );
    receiving.abort();
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_publications_that_fill_the_queue_of_a_slow_member() {
    let topic = Topic::default();
    let mut config = no_pings();
    config.send_queue_bytes_max = 1000;
    let (a, b) = duplex(16);
    let (mut socket, mut peer) = (server(a, config), client(b));
    socket.join(&topic);
    let sender = socket.sender();
    let publication = |number: usize| format!("{number}{}", "x".repeat(400));
    let mut outcomes = Vec::new();
    for number in 0..4 {
        topic.publish_text(&publication(number));
        let sent = sender.try_send(&Message::text(format!("sent {number}")));
        outcomes.push(!matches!(sent, Err(SendError::Full)));
    }
    assert_eq!(outcomes, [true, true, false, false]);
    let sending = tokio::spawn(async move { sender.send("last").await });
    let receiving = tokio::spawn(async move { socket.recv().await });
    let numbered = (0..4).map(publication);
    let mut expected: Vec<String> = numbered.collect();
    expected.insert(1, "sent 0".to_owned());
    expected.insert(3, "sent 1".to_owned());
    expected.push("last".to_owned());
    for expected in expected {
        let message = peer.recv().await.unwrap();
        assert_eq!(message, Some(Message::text(expected)));
    }
    sending.await.unwrap().unwrap();
    receiving.abort();
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_sent_to_before_it_receives_is_still_woken_by_publications() {
    let (topic, script) = (Topic::default(), Script::default());
    let (sender, receiving) = member(&topic, &script).await;
    // The publication that woke the member is taken by the sender, before the member looks.
    topic.publish_text("first");
    sender.try_send(&Message::text("sent")).unwrap();
    tokio::task::yield_now().await;
    topic.publish_text("second");
    tokio::task::yield_now().await;
    assert_eq!(
        script.writes().concat(),
        frames(&["first", "sent", "second"])
    );
    receiving.abort();
}

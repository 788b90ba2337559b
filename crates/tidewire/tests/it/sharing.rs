//! One connection used from several places: senders, the server, topics, in virtual time.

use std::time::Duration;

use tidewire::{
    proto::{CloseCode, Kind, Message, Prepared},
    ws::{RecvError, SendError, TooSlow, Topic, TopicConfig, connect},
};
use tokio::{
    io::{AsyncReadExt, duplex},
    time::{Instant, timeout},
};

use crate::{
    driver::{Script, client, client_bytes, no_pings, pair, server},
    server::{config, echo},
};

/// Long enough for anything that happens at all, in virtual time.
const HANG: Duration = Duration::from_hours(1);

#[tokio::test(start_paused = true)]
async fn two_tasks_read_and_write_with_a_blocked_writer_and_no_wake_is_lost() {
    // Both ends send far more than the stream and the queues hold, and read at the same time.
    let (a, b) = duplex(256);
    let (a, b) = (server(a, no_pings()), client(b));
    let mut tasks = Vec::new();
    for socket in [a, b] {
        let (mut receiver, sender) = socket.split();
        let second = sender.clone();
        for (sender, from) in [(sender, 0_u32), (second, 1)] {
            tasks.push(tokio::spawn(async move {
                for number in 0..200_u32 {
                    let mut payload = vec![0; 20_000];
                    payload[..4].copy_from_slice(&(number * 2 + from).to_be_bytes());
                    sender.send(payload).await.unwrap();
                }
                sender.flush().await.unwrap();
            }));
        }
        tasks.push(tokio::spawn(async move {
            let mut last = [None, None];
            for _ in 0..400 {
                let message = receiver.recv().await.unwrap().unwrap();
                let number = u32::from_be_bytes(message.payload()[..4].try_into().unwrap());
                let last = &mut last[number as usize % 2];
                assert!(last.is_none_or(|last| number == last + 2), "in order");
                *last = Some(number);
            }
            // Kept open until the other end has everything.
            timeout(Duration::from_mins(10), receiver.recv()).await.ok();
        }));
    }
    for task in tasks {
        timeout(HANG, task)
            .await
            .expect("nobody waits for ever")
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_makes_senders_wait_and_try_send_refuse() {
    let mut config = no_pings();
    config.send_queue_bytes_max = 1000;
    let (a, mut b) = duplex(64);
    let (_receiver, sender) = server(a, config).split();
    sender.try_send(&Message::binary(vec![0; 500])).unwrap();
    sender.try_send(&Message::binary(vec![0; 400])).unwrap();
    let refused = sender.try_send(&Message::binary(vec![0; 400]));
    assert!(matches!(refused, Err(SendError::Full)), "{refused:?}");
    let waiting = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send(vec![0; 400]).await }
    });
    let mut taken = vec![0; 2000];
    while !waiting.is_finished() {
        let _count = b.read(&mut taken).await.unwrap();
        tokio::task::yield_now().await;
    }
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sender_gives_a_peer_up_that_takes_nothing() {
    let (a, _never_reads) = duplex(64);
    let (_not_polled, sender) = server(a, no_pings()).split();
    let start = Instant::now();
    sender.send(vec![0; 2 << 20]).await.unwrap();
    let error = sender.send("x").await.unwrap_err();
    assert!(matches!(error, SendError::TimedOut), "{error}");
    assert_eq!(start.elapsed().as_secs(), 10, "the write deadline");
    assert!(!sender.is_open());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_receiver_ends_the_connection_for_its_senders() {
    let (socket, mut peer) = pair(1024);
    let (receiver, sender) = socket.split();
    drop(receiver);
    assert!(matches!(sender.send("x").await, Err(SendError::Closed)));
    assert!(matches!(peer.recv().await, Err(RecvError::Lost)));
}

#[tokio::test(start_paused = true)]
async fn a_sender_can_close_while_the_receiver_waits() {
    let (socket, mut peer) = pair(1024);
    let (mut receiver, sender) = socket.split();
    let receiving = tokio::spawn(async move { (receiver.recv().await, receiver) });
    tokio::task::yield_now().await;
    sender.close(CloseCode(4000), "enough");
    assert_eq!(peer.recv().await.unwrap(), None);
    assert_eq!(peer.close_frame().unwrap().reason, "enough");
    let (received, _receiver) = receiving.await.unwrap();
    assert_eq!(received.unwrap(), None, "a proper end");
}

#[tokio::test(start_paused = true)]
async fn what_was_held_back_is_written_when_the_task_waits_for_something_else() {
    let script = Script::default();
    script.push(client_bytes(&["first", "second"]));
    let socket = server(script.clone(), no_pings());
    let serving = socket.serve(|mut socket| {
        Box::pin(async move {
            let first = socket.recv().await.unwrap().unwrap();
            socket.send(first).await.unwrap();
            // The second message waits, so the answer was held back; then the task goes to sleep.
            std::future::pending::<()>().await;
        })
    });
    timeout(Duration::from_secs(1), serving).await.unwrap_err();
    assert_eq!(script.writes(), [Prepared::text("first").frame().to_vec()]);
}

#[tokio::test(start_paused = true)]
async fn large_messages_travel_in_chunks_in_both_directions() {
    let (a, b) = duplex(4096);
    let mut small = no_pings();
    small.message_bytes_max = 1000;
    let (mut receiver, mut sender) = (server(a, small), client(b));
    let sending = tokio::spawn(async move {
        let mut writer = sender.start_message(Kind::Binary);
        for number in 0..1000_u32 {
            writer
                .write(&number.to_be_bytes().repeat(256))
                .await
                .unwrap();
        }
        writer.finish().await.unwrap();
        sender.send("after").await.unwrap();
        sender.flush().await.unwrap();
        sender
    });
    let mut bytes = Vec::new();
    loop {
        let chunk = receiver.recv_chunk().await.unwrap().unwrap();
        assert_eq!(chunk.kind, Kind::Binary);
        bytes.extend_from_slice(&chunk.data);
        if chunk.last {
            break;
        }
    }
    let expected: Vec<u8> = (0..1000_u32)
        .flat_map(|number| number.to_be_bytes().repeat(256))
        .collect();
    assert!(bytes == expected, "1 MB through a limit of 1000 B");
    assert_eq!(receiver.recv().await.unwrap(), Some(Message::text("after")));
    drop(sending.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_finished_ends_the_connection() {
    let (mut server, mut client) = pair(1024);
    let mut writer = client.start_message(Kind::Text);
    writer.write(b"half").await.unwrap();
    drop(writer);
    let closing = tokio::spawn(async move { client.recv().await });
    assert_eq!(server.recv().await.unwrap(), None);
    assert_eq!(
        server.close_frame().unwrap().code,
        CloseCode::INTERNAL_ERROR
    );
    closing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn members_of_a_topic_get_what_is_published_in_order_and_in_one_write_per_burst() {
    let topic = Topic::default();
    let scripts: Vec<Script> = (0..3).map(|_| Script::default()).collect();
    let mut tasks = Vec::new();
    for script in &scripts {
        let mut socket = server(script.clone(), no_pings());
        socket.join(&topic);
        socket.join(&topic);
        tasks.push(tokio::spawn(async move { socket.recv().await }));
    }
    assert_eq!(topic.members(), 3, "joining twice is joining once");
    tokio::task::yield_now().await;
    for number in 0..100 {
        topic.publish_text(&number.to_string());
    }
    tokio::task::yield_now().await;
    topic.publish(&Prepared::binary(b"late"));
    topic.publish_ping(b"alive?");
    tokio::task::yield_now().await;
    let burst: Vec<u8> = (0..100)
        .flat_map(|number| Prepared::text(&number.to_string()).frame().to_vec())
        .collect();
    let late = [Prepared::binary(b"late").frame(), &b"\x89\x06alive?"[..]].concat();
    for script in &scripts {
        assert_eq!(script.writes(), [burst.clone(), late.clone()]);
    }
    tasks.remove(0).abort();
    tokio::task::yield_now().await;
    assert_eq!(topic.members(), 2, "dropping the socket leaves");
}

#[tokio::test(start_paused = true)]
async fn what_was_published_before_a_close_is_sent_before_it() {
    let topic = Topic::default();
    let (mut socket, mut peer) = pair(1024);
    socket.join(&topic);
    topic.publish_text("last words");
    let closing = tokio::spawn(async move { socket.close(CloseCode::NORMAL, "").await });
    assert_eq!(
        peer.recv().await.unwrap(),
        Some(Message::text("last words"))
    );
    assert_eq!(peer.recv().await.unwrap(), None);
    closing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_publication_can_spare_its_author() {
    let topic = Topic::default();
    let (mut author, mut author_peer) = pair(1024);
    let (mut other, mut other_peer) = pair(1024);
    author.join(&topic);
    other.join(&topic);
    topic.publish_text("before");
    topic.publish_except(&Prepared::text("mine"), author.membership(&topic).unwrap());
    topic.publish_text("after");
    let tasks = [author, other].map(|mut socket| tokio::spawn(async move { socket.recv().await }));
    for (peer, expected) in [
        (&mut author_peer, &["before", "after"][..]),
        (&mut other_peer, &["before", "mine", "after"]),
    ] {
        for text in expected {
            assert_eq!(peer.recv().await.unwrap(), Some(Message::text(*text)));
        }
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_read_is_closed_and_costs_no_more_than_the_backlog() {
    for skip in [false, true] {
        let mut bounds = TopicConfig::default();
        bounds.backlog_bytes_max = 10_000;
        if skip {
            bounds.too_slow = TooSlow::Skip;
        }
        let topic = Topic::new(bounds);
        let (a, mut peer) = duplex(64);
        let mut slow = server(a, no_pings());
        slow.join(&topic);
        let (mut fast, mut fast_peer) = pair(1 << 20);
        fast.join(&topic);
        let tasks = [
            tokio::spawn(async move { drop(slow.recv().await) }),
            tokio::spawn(async move { drop(fast.recv().await) }),
        ];
        tokio::task::yield_now().await;
        for number in 0..100_u32 {
            topic.publish_binary(&number.to_be_bytes().repeat(1000));
            let got = fast_peer.recv().await.unwrap().unwrap();
            assert_eq!(got.payload()[..4], number.to_be_bytes());
        }
        // Now the slow one reads: at least what was queued before, then the verdict.
        let mut bytes = vec![0; 1 << 20];
        let mut all = Vec::new();
        while let Ok(Ok(count @ 1..)) = timeout(Duration::from_secs(1), peer.read(&mut bytes)).await
        {
            all.extend_from_slice(&bytes[..count]);
        }
        assert!(
            all.len() < 64 * 1024 + 20_000,
            "{} bytes were kept",
            all.len()
        );
        let closed = all.windows(4).any(|four| four == b"\x88\x20\x03\xf5");
        assert_eq!(closed, !skip, "closed with 1013");
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

#[tokio::test]
async fn a_server_finds_counts_and_closes_its_sessions() {
    let server = tidewire::ws::Server::new(config())
        .route("/", echo)
        .start()
        .unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let mut first = connect(&url).await.unwrap();
    let mut second = connect(&url).await.unwrap();
    first.send("hello").await.unwrap();
    assert_eq!(first.recv().await.unwrap(), Some(Message::text("hello")));
    while server.stats().sessions < 2 {
        tokio::task::yield_now().await;
    }
    let mut ids: Vec<u64> = server
        .sessions()
        .iter()
        .map(tidewire::ws::Sender::id)
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2]);
    assert!(server.session(3).is_none());
    server.everyone().publish_text("to all");
    for socket in [&mut first, &mut second] {
        assert_eq!(socket.recv().await.unwrap(), Some(Message::text("to all")));
    }
    server.session(1).unwrap().send("to one").await.unwrap();
    server.session(1).unwrap().close(CloseCode(4001), "you");
    assert_eq!(first.recv().await.unwrap(), Some(Message::text("to one")));
    assert_eq!(first.recv().await.unwrap(), None);
    assert_eq!(first.close_frame().unwrap().reason, "you");
    while server.session(1).is_some() {
        tokio::task::yield_now().await;
    }
    server.close_all(CloseCode(4002), "all");
    assert_eq!(second.recv().await.unwrap(), None);
    assert_eq!(second.close_frame().unwrap().code, CloseCode(4002));
    while server.stats().sessions > 0 {
        tokio::task::yield_now().await;
    }
    let traffic = server.traffic();
    assert_eq!(
        (traffic.total.messages_received, traffic.total.messages_sent),
        (1, 4),
        "an echo, two publications, one message of the server"
    );
    assert_eq!((server.stats().opened, traffic.bytes_queued), (2, 0));
}

#[tokio::test]
async fn a_server_can_be_started_again_after_a_stop() {
    let server = tidewire::ws::Server::new(config()).route("/", echo);
    for _ in 0..2 {
        let running = server.start().unwrap();
        let mut client = connect(&format!("ws://{}/", running.local_addr()))
            .await
            .unwrap();
        client.send("again").await.unwrap();
        assert_eq!(client.recv().await.unwrap(), Some(Message::text("again")));
        let left = tokio::spawn(async move { client.recv().await });
        assert!(running.drain(Duration::from_secs(30)).await);
        assert_eq!(left.await.unwrap().unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_leaving_a_topic() {
    let topic = Topic::default();
    let (mut socket, mut peer) = pair(1024);
    socket.join(&topic);
    socket.leave(&topic);
    topic.publish_text("nobody");
    socket.start_close(CloseCode::GOING_AWAY, "");
    let closing = tokio::spawn(async move { socket.recv().await });
    assert_eq!(peer.recv().await.unwrap(), None, "nothing after leaving");
    closing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_outlives_the_connection_keeps_nothing_of_it() {
    let (a, _never_reads) = duplex(64);
    let (receiver, sender) = server(a, no_pings()).split();
    let payload = bytes::Bytes::from(vec![0; 10_000]);
    sender.try_send(&Message::Binary(payload.clone())).unwrap();
    let sent = receiver.stats().messages_sent;
    assert_eq!((sent, payload.is_unique()), (1, false));
    drop(receiver);
    sender.close(CloseCode::NORMAL, "");
    assert_eq!((sender.queued(), sender.is_open()), (0, false));
    assert!(payload.is_unique(), "the queue is gone");
}

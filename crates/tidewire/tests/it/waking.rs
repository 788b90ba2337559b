//! Who is woken when a connection is shared by several tasks or moves from one to another.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use tidewire::{
    proto::{Kind, Message},
    ws::Topic,
};
use tokio::{
    io::{AsyncReadExt, duplex},
    time::timeout,
};

use crate::driver::{Script, client_bytes, no_pings, pair, server};

/// Long enough for anything that happens at all, in virtual time.
const HANG: Duration = Duration::from_hours(1);

/// A task that only counts how often it is woken.
#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Task {
    fn woken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_flushes_in_a_new_task_before_it_receives_there_still_gets_publications() {
    let topic = Topic::default();
    let mut socket = server(Script::default(), no_pings());
    socket.join(&topic);
    let (first, second) = (Arc::new(Task::default()), Arc::new(Task::default()));
    let waker = Waker::from(Arc::clone(&first));
    assert!(
        socket
            .poll_recv(&mut Context::from_waker(&waker))
            .is_pending()
    );
    // The socket moves to another task, which first sends.
    let waker = Waker::from(Arc::clone(&second));
    let mut cx = Context::from_waker(&waker);
    socket.try_send(&Message::text("moved")).unwrap();
    assert!(socket.poll_flush(&mut cx).is_ready());
    assert!(socket.poll_recv(&mut cx).is_pending());
    topic.publish_text("news");
    assert_eq!((first.woken(), second.woken()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_waited_for_the_end_of_a_message_in_pieces_is_woken_by_it() {
    let (mut socket, mut peer) = pair(1 << 16);
    let sender = socket.sender();
    let mut writer = socket.start_message(Kind::Text);
    writer.write(b"first ").await.unwrap();
    let sending = tokio::spawn(async move { sender.send("second").await });
    tokio::task::yield_now().await;
    writer.finish().await.unwrap();
    timeout(HANG, sending)
        .await
        .expect("it is woken")
        .unwrap()
        .unwrap();
    for text in ["first ", "second"] {
        assert_eq!(peer.recv().await.unwrap(), Some(Message::text(text)));
    }
}

/// A served task that sends a message in pieces while another thread sends `messages` whole ones.
async fn pieces_with_others(
    socket: &mut tidewire::ws::WebSocket<Script>,
    messages: usize,
    finish: bool,
) {
    socket.recv().await.unwrap().unwrap();
    let sender = socket.sender();
    let mut writer = socket.start_message(Kind::Text);
    // More input waits, so the sending half stays with this task.
    writer.write(b"half").await.unwrap();
    std::thread::spawn(move || {
        for _ in 0..messages {
            sender.try_send(&Message::text("other")).unwrap();
        }
    })
    .join()
    .unwrap();
    if finish {
        writer.finish().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_message_ends_the_connection_though_others_messages_wait_behind_it() {
    let script = Script::default();
    script.push(client_bytes(&["first", "second"]));
    let serving = server(script.clone(), no_pings()).serve(|mut socket| {
        Box::pin(async move {
            pieces_with_others(&mut socket, 1, false).await;
            socket.recv().await.unwrap();
            socket.recv().await
        })
    });
    timeout(Duration::from_secs(1), serving).await.ok();
    let sent = script.writes().concat();
    let close = b"\x03\xf3a message was not finished";
    assert!(sent.ends_with(close), "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn others_messages_follow_a_message_in_pieces() {
    let script = Script::default();
    script.push(client_bytes(&["first", "second"]));
    let serving = server(script.clone(), no_pings()).serve(|mut socket| {
        Box::pin(async move {
            pieces_with_others(&mut socket, 2, true).await;
            std::future::pending::<()>().await;
        })
    });
    timeout(Duration::from_secs(1), serving).await.unwrap_err();
    assert_eq!(
        script.writes().concat(),
        b"\x01\x04half\x80\x00\x81\x05other\x81\x05other"
    );
}

#[tokio::test(start_paused = true)]
async fn a_sender_waits_and_does_not_spin_while_a_message_in_pieces_is_under_way() {
    let script = Script::default();
    script.push(client_bytes(&["first", "second"]));
    let mut config = no_pings();
    config.send_queue_bytes_max = 100;
    let mut serving = Box::pin(server(script.clone(), config).serve(|mut socket| {
        Box::pin(async move {
            socket.recv().await.unwrap().unwrap();
            let sender = socket.sender();
            let mut writer = socket.start_message(Kind::Text);
            writer.write(b"half").await.unwrap();
            let other = sender.clone();
            std::thread::spawn(move || other.try_send(&Message::text("other")).unwrap())
                .join()
                .unwrap();
            let waiting = tokio::spawn(async move { sender.send("waits").await });
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(!waiting.is_finished());
            writer.finish().await.unwrap();
            waiting.await.unwrap().unwrap();
        })
    }));
    timeout(HANG, serving.as_mut()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_left_at_the_end_goes_out_from_a_new_task() {
    let (a, mut b) = duplex(16);
    let mut socket = server(a, no_pings());
    let _sender = socket.sender();
    let first = Waker::from(Arc::new(Task::default()));
    let mut cx = Context::from_waker(&first);
    socket.try_send(&Message::binary(vec![7; 100])).unwrap();
    assert!(socket.poll_recv(&mut cx).is_pending());
    tokio::io::AsyncWriteExt::write_all(&mut b, b"\x88\x80\0\0\0\0")
        .await
        .unwrap();
    let Poll::Ready(Ok(Some(_closing))) = socket.poll_recv_any(&mut cx) else {
        panic!("the peer's close frame");
    };
    let ending = tokio::spawn(async move { socket.recv().await });
    tokio::task::yield_now().await;
    let start = tokio::time::Instant::now();
    let mut received = Vec::new();
    b.read_to_end(&mut received).await.unwrap();
    assert_eq!(
        start.elapsed(),
        Duration::ZERO,
        "no deadline was waited for"
    );
    assert!(received.ends_with(b"\x88\x00"));
    drop(b);
    ending.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_task_that_only_sends_goes_on_writing_on_a_shared_connection() {
    let (a, mut b) = duplex(16);
    let socket = server(a, no_pings());
    let _sender = socket.sender();
    let serving = tokio::spawn(socket.serve(|mut socket| {
        Box::pin(async move {
            socket.send(vec![7; 100]).await.unwrap();
            std::future::pending::<()>().await;
        })
    }));
    let mut received = [0; 102];
    timeout(HANG, b.read_exact(&mut received))
        .await
        .expect("all of it")
        .unwrap();
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn what_a_task_held_back_is_written_when_it_ends_and_the_socket_lives_on() {
    let script = Script::default();
    script.push(client_bytes(&["first", "second"]));
    let serving = server(script.clone(), no_pings()).serve(|mut socket| {
        Box::pin(async move {
            let first = socket.recv().await.unwrap().unwrap();
            socket.send(first).await.unwrap();
            socket
        })
    });
    let socket = pin!(serving).await;
    assert_eq!(script.writes().concat(), b"\x81\x05first");
    drop(socket);
}

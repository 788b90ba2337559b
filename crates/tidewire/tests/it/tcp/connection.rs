//! Connections over streams in memory, in virtual time.

use std::time::Duration;

use tidewire::tcp::{Config, Connection, RecvError, SendError};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex},
    time::{Instant, timeout},
};

fn pair(buffer: usize, config: Config) -> (Connection<DuplexStream>, DuplexStream) {
    let (near, far) = duplex(buffer);
    (Connection::new(near, config), far)
}

#[tokio::test(start_paused = true)]
async fn bytes_come_as_they_were_sent_then_the_end() {
    let (mut near, mut far) = pair(4096, Config::default());
    far.write_all(b"hello").await.unwrap();
    assert_eq!(near.recv().await.unwrap().as_deref(), Some(&b"hello"[..]));
    far.write_all(b"0123456789").await.unwrap();
    assert_eq!(
        near.recv_exact(4).await.unwrap().as_deref(),
        Some(&b"0123"[..])
    );
    assert_eq!(near.recv_with(<[u8]>::len).await.unwrap(), Some(6));
    far.shutdown().await.unwrap();
    assert_eq!(near.recv().await.unwrap(), None);
    assert_eq!(near.recv_exact(1).await.unwrap(), None);
    // The other direction goes on.
    near.send("still").await.unwrap();
    let mut answer = [0; 5];
    far.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"still");
}

#[tokio::test(start_paused = true)]
async fn bytes_that_end_too_early_are_an_error() {
    let (mut near, mut far) = pair(4096, Config::default());
    far.write_all(b"abc").await.unwrap();
    far.shutdown().await.unwrap();
    assert!(matches!(
        near.recv_exact(4).await,
        Err(RecvError::Truncated)
    ));
}

#[tokio::test(start_paused = true)]
async fn more_than_may_be_held_is_refused_before_anything_is_allocated() {
    let (mut near, _far) = pair(4096, Config::default().receive_buffer_bytes_max(10));
    assert!(matches!(
        near.recv_exact(usize::MAX).await,
        Err(RecvError::TooMuch)
    ));
}

#[tokio::test(start_paused = true)]
async fn our_direction_ends_alone() {
    let (mut near, mut far) = pair(4096, Config::default());
    near.send("question").await.unwrap();
    near.finish_sending().await.unwrap();
    assert_eq!(near.send("more").await, Err(SendError::Closed));
    let mut question = String::new();
    far.read_to_string(&mut question).await.unwrap();
    assert_eq!(question, "question");
    far.write_all(b"answer").await.unwrap();
    assert_eq!(near.recv().await.unwrap().as_deref(), Some(&b"answer"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_sender_waits_for_room_and_the_connection_writes_for_it() {
    let (mut near, mut far) = pair(10, Config::default().send_queue_bytes_max(20));
    let sender = near.sender();
    assert_eq!(sender.try_send(vec![b'a'; 15]), Ok(()));
    assert_eq!(sender.try_send(vec![b'b'; 15]), Err(SendError::Full));
    let waited = sender
        .send_timeout(vec![b'b'; 15], Duration::from_secs(1))
        .await;
    assert_eq!(waited, Err(SendError::TimedOut), "nobody writes");
    let receiving = tokio::spawn(async move { near.recv().await });
    let sending = tokio::spawn(async move {
        sender.send(vec![b'b'; 15]).await.unwrap();
        sender.flush().await.unwrap();
        assert_eq!((sender.queued(), sender.bytes_sent()), (0, 30));
        sender.close();
        assert_eq!(sender.try_send("late"), Err(SendError::Closed));
    });
    let mut all = [0; 30];
    far.read_exact(&mut all).await.unwrap();
    assert_eq!(&all, b"aaaaaaaaaaaaaaabbbbbbbbbbbbbbb");
    sending.await.unwrap();
    assert_eq!(
        receiving.await.unwrap().unwrap(),
        None,
        "closed from outside"
    );
}

#[tokio::test(start_paused = true)]
async fn deadlines_are_kept_while_the_connection_is_waited_for() {
    let begun = Instant::now();
    let (mut near, _far) = pair(10, Config::default().write_timeout(Duration::from_secs(3)));
    near.send(vec![0; 100]).await.unwrap();
    assert!(matches!(near.recv().await, Err(RecvError::WriteTimedOut)));
    assert_eq!(begun.elapsed(), Duration::from_secs(3));

    let begun = Instant::now();
    let (mut near, mut far) = pair(10, Config::default().idle_timeout(Duration::from_mins(1)));
    for _ in 0..3 {
        assert!(timeout(Duration::from_secs(40), near.recv()).await.is_err());
        far.write_all(b"x").await.unwrap();
        assert!(near.recv().await.unwrap().is_some());
    }
    assert!(matches!(near.recv().await, Err(RecvError::Idle)));
    assert_eq!(begun.elapsed(), Duration::from_mins(3));
}

#[tokio::test(start_paused = true)]
async fn closing_sends_what_is_queued_and_waits_for_the_peer_for_a_time() {
    let (mut near, mut far) = pair(10, Config::default());
    near.try_send(vec![b'x'; 1000]).unwrap();
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        (all.len(), far)
    });
    let begun = Instant::now();
    near.close().await.unwrap();
    assert_eq!(
        begun.elapsed(),
        Config::default().close_timeout,
        "it never ends"
    );
    assert_eq!(reading.await.unwrap().0, 1000);
}

#[tokio::test(start_paused = true)]
async fn aborting_ends_at_once() {
    let (mut near, _far) = pair(10, Config::default());
    let sender = near.sender();
    near.send(vec![0; 100]).await.unwrap();
    sender.abort();
    assert!(matches!(near.recv().await, Err(RecvError::Aborted)));
    assert_eq!(near.send("x").await, Err(SendError::Closed));
    drop(near);
    assert_eq!(sender.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_a_stream_for_whoever_brings_codecs() {
    let (near, mut far) = pair(16, Config::default());
    let talking = tokio::spawn(async move {
        let mut near = BufReader::new(near);
        let mut line = String::new();
        near.read_line(&mut line).await.unwrap();
        near.write_all(line.to_uppercase().as_bytes())
            .await
            .unwrap();
        near.shutdown().await.unwrap();
        line.clear();
        near.read_line(&mut line).await.unwrap();
        line
    });
    far.write_all(b"a line longer than the stream's buffer\n")
        .await
        .unwrap();
    let mut answer = String::new();
    far.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "A LINE LONGER THAN THE STREAM'S BUFFER\n");
    far.write_all(b"and on\n").await.unwrap();
    assert_eq!(talking.await.unwrap(), "and on\n");
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_the_peer_as_long_as_it_may_whatever_was_waited_for_before() {
    let second = Duration::from_secs(1);
    let config = Config::default()
        .write_timeout(2 * second)
        .close_timeout(10 * second);
    let (mut near, mut far) = pair(10, config);
    near.send(vec![0; 100]).await.unwrap();
    assert!(timeout(second, near.recv()).await.is_err());
    let mut all = [0; 100];
    let (read, flushed) = tokio::join!(far.read_exact(&mut all), near.flush());
    assert_eq!((read.unwrap(), flushed.is_ok()), (100, true));
    let begun = Instant::now();
    near.close().await.unwrap();
    assert_eq!(begun.elapsed(), 10 * second);
}

#[tokio::test(start_paused = true)]
async fn a_flush_behind_the_end_tells_whether_something_was_left() {
    for (len, expected) in [(10, Ok(())), (11, Err(SendError::Closed))] {
        let (mut near, _far) = pair(10, Config::default());
        let sender = near.sender();
        near.send(vec![0; len]).await.unwrap();
        drop(near);
        assert_eq!(sender.flush().await, expected, "{len} bytes");
        assert_eq!(sender.try_send("late"), Err(SendError::Closed));
    }
}

#[tokio::test(start_paused = true)]
async fn aborting_ends_at_once_also_behind_a_refused_send() {
    let (mut near, _far) = pair(10, Config::default());
    near.send(vec![0; 100]).await.unwrap();
    near.sender().abort();
    assert_eq!(near.send("x").await, Err(SendError::Closed));
    let begun = Instant::now();
    assert!(matches!(near.recv().await, Err(RecvError::Aborted)));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_close_ends_also_with_a_peer_that_writes_before_it_reads() {
    const LEN: usize = 100_000;
    let (mut near, mut far) = pair(1024, Config::default());
    near.try_send(vec![b'n'; LEN]).unwrap();
    let begun = Instant::now();
    let peer = async {
        far.write_all(&vec![b'f'; LEN]).await.unwrap();
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        far.shutdown().await.unwrap();
        all.len()
    };
    let (closed, received) = tokio::join!(near.close(), peer);
    closed.unwrap();
    assert_eq!((received, begun.elapsed()), (LEN, Duration::ZERO));
}

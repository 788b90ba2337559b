//! Memory that peers make us hold together: one budget, and a time for what does not go on.
//!
//! Kinds of what can be held: fragments, a frame cut in the middle, many tiny fragments, compressed fragments, queues of
//! peers that do not read, by the owner's sends and by those of others; each with pongs in between, which must not help.
//! The gateway's kinds (queues, routes, ledgers) are tested there.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tidewire::{
    memory::MemoryBudget,
    proto::{CloseCode, Config, Message, ProtocolError},
    ws::{RecvError, SendError, WebSocket},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::driver::{no_pings, server};

const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
const PONG: u8 = 10;
const FIN: u8 = 0x80;

/// The header of a client's frame with a mask of zeros.
fn header(first: u8, len: usize) -> Vec<u8> {
    let mut header = vec![first, 0xff];
    header.extend_from_slice(&(len as u64).to_be_bytes());
    match u8::try_from(len) {
        Ok(short) if short <= 125 => header = vec![first, 0x80 | short],
        _ if len <= 0xffff => {
            header.truncate(2);
            header[1] = 0xfe;
            header.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
        }
        _ => {}
    }
    header.extend_from_slice(&[0; 4]);
    header
}

fn frame(first: u8, len: usize) -> Vec<u8> {
    let mut frame = header(first, len);
    frame.resize(frame.len() + len, b'x');
    frame
}

fn unlimited() -> Config {
    let mut config = no_pings();
    config.message_timeout = None;
    config
}

type End = Result<Option<Message>, RecvError>;

/// A connection whose memory counts for `budget`, at work: it echoes.
fn echo(budget: &MemoryBudget, config: Config) -> (DuplexStream, JoinHandle<End>) {
    let (ours, peer) = duplex(1 << 20);
    let mut socket = server(ours, config).charge_to(&budget.account());
    let task = tokio::spawn(async move {
        loop {
            match socket.recv().await {
                Ok(Some(message)) => {
                    if socket.send(message).await.is_err() {
                        return Ok(None);
                    }
                }
                end => return end,
            }
        }
    });
    (peer, task)
}

fn protocol(end: &End) -> Option<ProtocolError> {
    end.as_ref().err().and_then(RecvError::protocol)
}

/// Reads until the close frame; its code.
async fn close_code(peer: &mut DuplexStream) -> u16 {
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).await.unwrap();
    let at = bytes.iter().rposition(|byte| *byte == 0x88).unwrap();
    u16::from_be_bytes([bytes[at + 2], bytes[at + 3]])
}

#[tokio::test(start_paused = true)]
async fn unfinished_messages_of_many_stay_within_the_budget_and_the_small_one_is_served() {
    const BUDGET: usize = 32 << 20;
    const LEN: usize = 4 << 20;
    let budget = MemoryBudget::new(BUDGET);
    let (mut small, _serving) = echo(&budget, unlimited());
    // It has begun something, too, and goes on with it in the end.
    small.write_all(&frame(BINARY, 10_000)).await.unwrap();
    let mut crowd = Vec::new();
    for number in 0..30 {
        let (mut peer, task) = echo(&budget, unlimited());
        // A fragment, a frame that is cut, or thousands of fragments.
        let bytes = match number % 3 {
            0 => frame(BINARY, LEN),
            1 => frame(BINARY | FIN, LEN)[..LEN].to_vec(),
            _ => [frame(BINARY, 1024), frame(CONTINUATION, 1024).repeat(4000)].concat(),
        };
        // Those that are closed meanwhile take no more.
        peer.write_all(&bytes).await.ok();
        let used = budget.stats().bytes_used;
        assert!(used <= BUDGET + BUDGET / 4, "{used} after {number}");
        crowd.push((peer, task));
    }
    sleep(Duration::from_secs(10)).await;
    let stats = budget.stats();
    assert!(stats.bytes_used <= BUDGET, "{stats:?}");
    let (mut closed, mut left) = (0, 0);
    for (mut peer, task) in crowd {
        if task.is_finished() {
            assert_eq!(
                protocol(&task.await.unwrap()),
                Some(ProtocolError::MemoryExhausted)
            );
            assert_eq!(close_code(&mut peer).await, CloseCode::TRY_AGAIN_LATER.0);
            closed += 1;
        } else {
            left += 1;
        }
    }
    assert!(closed >= 20 && left >= 4, "{closed} closed, {left} left");
    assert_eq!(stats.evicted + stats.refused, closed);
    small
        .write_all(&frame(CONTINUATION | FIN, 10_000))
        .await
        .unwrap();
    let mut answer = vec![0; 20_004];
    small.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[..4], [0x82, 126, 0x4e, 0x20]);
}

#[tokio::test(start_paused = true)]
async fn what_ends_in_whatever_way_is_given_back() {
    let budget = MemoryBudget::new(16 << 20);
    for way in 0..4 {
        let (mut peer, task) = echo(&budget, unlimited());
        peer.write_all(&frame(BINARY, 1 << 20)).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        assert!(budget.stats().bytes_used >= 1 << 20);
        match way {
            0 => {
                let end = frame(CONTINUATION | FIN, 10);
                peer.write_all(&end).await.unwrap();
                peer.read_exact(&mut vec![0; 1 << 20]).await.unwrap();
            }
            1 => drop(peer),
            2 => peer.write_all(&frame(BINARY, 1)).await.unwrap(), // breaks a rule
            _ => task.abort(),
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(budget.stats().bytes_used, 0, "way {way}");
    }
}

/// The beginning of a message, alive by pongs alone.
async fn stalled(begin: Vec<u8>, config: Config) -> (End, Duration) {
    let (ours, mut peer) = duplex(1 << 20);
    let mut socket = server(ours, config);
    let started = tokio::time::Instant::now();
    let pongs = tokio::spawn(async move {
        peer.write_all(&begin).await?;
        loop {
            sleep(Duration::from_secs(5)).await;
            peer.write_all(&frame(PONG | FIN, 4)).await?;
        }
        #[expect(unreachable_code, reason = "it names the type of the error")]
        io::Result::Ok(())
    });
    let end = timeout(Duration::from_mins(10), socket.recv()).await;
    pongs.abort();
    let end = end.unwrap_or(Ok(None));
    (end, started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn pongs_do_not_keep_the_beginning_of_a_message_alive() {
    let begins = [
        frame(BINARY, 9_900_000),
        frame(BINARY, 0),
        frame(BINARY, 1),
        // What follows is payload here, and 10 bytes at a time no progress.
        frame(BINARY | FIN, 1_000_000)[..900_000].to_vec(),
        [frame(BINARY, 3), frame(CONTINUATION, 3).repeat(100)].concat(),
    ];
    for (number, begin) in begins.into_iter().enumerate() {
        let (end, after) = stalled(begin, no_pings()).await;
        assert_eq!(
            protocol(&end),
            Some(ProtocolError::MessageStalled),
            "{number}"
        );
        assert!((60..=66).contains(&after.as_secs()), "{number}: {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_time_limit_the_beginning_of_a_message_waits() {
    let (end, after) = stalled(frame(BINARY, 9_900), unlimited()).await;
    assert!(matches!(end, Ok(None)) && after.as_secs() == 600, "{end:?}");
}

/// How a message comes: bytes, and seconds until the next.
async fn dripping(bytes: usize, seconds: u64, times: usize) -> End {
    let (ours, mut peer) = duplex(1 << 20);
    let mut socket = server(ours, no_pings());
    tokio::spawn(async move {
        peer.write_all(&header(BINARY | FIN, bytes * times)).await?;
        for _ in 0..times {
            peer.write_all(&vec![b'x'; bytes]).await?;
            sleep(Duration::from_secs(seconds)).await;
        }
        sleep(Duration::from_mins(1)).await;
        io::Result::Ok(())
    });
    socket.recv().await
}

#[tokio::test(start_paused = true)]
async fn a_slow_message_arrives_and_a_dripping_one_does_not() {
    for (bytes, seconds, times, arrives) in [
        (5_000, 50, 100, true),
        (100, 1, 10_000, true),
        (1, 59, 1_000, true), // it costs a kilobyte
        (1_000, 50, 100, false),
        (20, 1, 60, true), // done before
    ] {
        let end = dripping(bytes, seconds, times).await;
        if arrives {
            let len = end.unwrap().unwrap().payload().len();
            assert_eq!(len, bytes * times);
        } else {
            assert_eq!(
                protocol(&end),
                Some(ProtocolError::MessageStalled),
                "{bytes}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_in_chunks_may_pause_because_nothing_of_it_is_kept() {
    let budget = MemoryBudget::new(1 << 20);
    let (ours, mut peer) = duplex(1 << 20);
    let mut socket = server(ours, no_pings()).charge_to(&budget.account());
    tokio::spawn(async move {
        for _ in 0..100 {
            peer.write_all(&frame(BINARY, 0)).await?;
            peer.write_all(&frame(CONTINUATION, 100_000)).await?;
            sleep(Duration::from_mins(10)).await;
            peer.write_all(&frame(CONTINUATION | FIN, 0)).await?;
        }
        io::Result::Ok(())
    });
    let mut bytes = 0;
    while bytes < 10_000_000 {
        bytes += socket.recv_chunk().await.unwrap().unwrap().data.len();
        assert!(budget.stats().bytes_used < 200_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_was_busy_for_long_is_not_held_against_its_peer() {
    let (ours, mut peer) = duplex(1 << 20);
    let mut socket = server(ours, no_pings());
    peer.write_all(&frame(BINARY, 10)).await.unwrap();
    assert!(
        timeout(Duration::from_secs(1), socket.recv())
            .await
            .is_err()
    );
    peer.write_all(&frame(CONTINUATION | FIN, 10))
        .await
        .unwrap();
    sleep(Duration::from_mins(5)).await;
    assert_eq!(socket.recv().await.unwrap().unwrap().payload().len(), 20);
}

/// A peer that never reads, and takes nothing.
struct Deaf;

impl AsyncRead for Deaf {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

fn deaf(budget: &MemoryBudget) -> WebSocket<Deaf> {
    server(Deaf, no_pings()).charge_to(&budget.account())
}

#[tokio::test(start_paused = true)]
async fn queues_of_peers_that_do_not_read_count_and_the_largest_goes_first() {
    let budget = MemoryBudget::new(4 << 20).share_max(4 << 20);
    let mut tasks = Vec::new();
    let mut senders = Vec::new();
    for _ in 0..8 {
        let mut socket = deaf(&budget);
        senders.push(socket.sender());
        tasks.push(tokio::spawn(async move { socket.recv().await }));
    }
    // A message of any size fits an empty queue: 3 MiB for the first, 300 KiB for the others.
    senders[0]
        .try_send(&Message::binary(vec![0; 3 << 20]))
        .unwrap();
    sleep(Duration::from_millis(10)).await;
    for sender in &senders[1..] {
        for _ in 0..3 {
            sender
                .try_send(&Message::binary(vec![0; 100 << 10]))
                .unwrap();
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(budget.stats().evicted, 1, "{:?}", budget.stats());
    assert!(matches!(
        senders[0].try_send(&Message::binary("x")),
        Err(SendError::Closed)
    ));
    for sender in &senders[1..] {
        sender.try_send(&Message::binary("x")).unwrap();
    }
    sleep(Duration::from_mins(1)).await; // all are given up
    for task in tasks {
        assert!(task.await.unwrap().is_err());
    }
    drop(senders);
    assert_eq!(budget.stats().bytes_used, 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_to_send_learns_of_its_eviction() {
    let budget = MemoryBudget::new(3 << 20).share_max(3 << 20);
    let mut socket = deaf(&budget);
    let sending = tokio::spawn(async move {
        let big = Message::binary(vec![0; 2 << 20]);
        socket.send(big.clone()).await?;
        socket.send(big).await
    });
    sleep(Duration::from_secs(1)).await;
    assert!(budget.stats().bytes_used >= 2 << 20);
    let (mut peer, _task) = echo(&budget, unlimited());
    peer.write_all(&frame(BINARY, 1_900_000)).await.unwrap();
    let sent = timeout(Duration::from_secs(1), sending).await.unwrap();
    assert!(matches!(sent.unwrap(), Err(SendError::Closed)));
    assert_eq!(budget.stats().evicted, 1);
}

#[cfg(feature = "deflate")]
#[tokio::test]
async fn compressed_fragments_count_by_what_they_inflate_to() {
    use std::sync::Arc;

    use tidewire::ws::{Client, DeflateConfig, Kind, Server};

    let budget = MemoryBudget::new(8 << 20).share_max(8 << 20);
    let mut deflate = DeflateConfig::default();
    deflate.ratio_max = u32::MAX;
    let socket = Config::default().deflate(deflate);
    let mut config = crate::server::config();
    config.memory = budget.clone();
    config.socket = Arc::new(socket.clone());
    let server = Server::new(config)
        .route("/", crate::server::echo)
        .start()
        .unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let mut clients = Vec::new();
    for _ in 0..4 {
        let client = Client::new(&url).unwrap().config(socket.clone());
        let mut client = client.connect().await.unwrap();
        let begun = client.try_send_fragment(Kind::Binary, &vec![0; 3 << 20], false);
        begun.unwrap();
        client.flush().await.unwrap();
        clients.push(client);
    }
    let closed = async {
        loop {
            let stats = budget.stats();
            if stats.evicted + stats.refused > 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), closed).await.unwrap();
    assert!(budget.stats().bytes_used <= (8 << 20) + (2 << 20));
}

//! What peers that do not read make us hold: queues at their limit, whatever is published.

use std::{sync::Arc, time::Duration};

use allocation_counter::measure;
use tidewire::{
    proto::{CloseCode, Config, Connection, Message, Prepared},
    ws::{RecvError, SendError, Topic, TopicConfig, WebSocket},
};
use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
    runtime::{Builder, Runtime},
    time::Instant,
};

fn virtual_time() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

fn server(stream: DuplexStream, config: Config) -> WebSocket<DuplexStream> {
    let core = Connection::server(Arc::new(config), Instant::now().into_std());
    WebSocket::new(stream, core, Vec::new())
}

fn no_pings() -> Config {
    let mut config = Config::default();
    config.ping_interval = None;
    config
}

#[test]
fn ten_minutes_of_publishing_to_a_slow_reader_cost_its_queue() {
    const QUEUE: usize = 256 << 10;
    let runtime = virtual_time();
    let mut refused = 0;
    let info = measure(|| {
        runtime.block_on(async {
            let (a, _never_reads) = duplex(1024);
            let mut config = no_pings();
            config.send_queue_bytes_max = QUEUE;
            let mut socket = server(a, config);
            let message = Message::binary(vec![7; 1000]);
            for _ in 0..600 {
                for _ in 0..1000 {
                    match socket.try_send(&message) {
                        Ok(()) => {}
                        Err(SendError::Full) => refused += 1,
                        Err(error) => panic!("{error}"),
                    }
                    assert!(socket.queued() <= QUEUE + 14);
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            // Once somebody waits for it, it is given up.
            let end = socket.recv().await;
            assert!(matches!(end, Err(RecvError::TimedOut)), "{end:?}");
        });
    });
    assert!(refused > 590_000, "{refused} of 600 000 were refused");
    assert!(info.bytes_max <= 3 * QUEUE as u64, "{info:?}");
}

/// A member costs a place in the backlog, which all members share, and is closed when it is
/// too far behind.
#[test]
fn members_of_a_topic_that_do_not_read_share_one_backlog() {
    const MEMBERS: usize = 100;
    let runtime = virtual_time();
    let info = measure(|| {
        runtime.block_on(async {
            let topic = Topic::new(TopicConfig::default());
            let mut peers = Vec::new();
            let mut tasks = Vec::new();
            for _ in 0..MEMBERS {
                let (a, b) = duplex(64);
                let mut socket = server(a, no_pings());
                socket.join(&topic);
                peers.push(b);
                tasks.push(tokio::spawn(async move { socket.recv().await.map(|_| ()) }));
            }
            for _ in 0..50 {
                for _ in 0..1000 {
                    topic.publish(&Prepared::binary(&[7; 1000]));
                }
                tokio::task::yield_now().await;
            }
            for task in tasks {
                let end = task.await.unwrap();
                assert!(matches!(end, Err(RecvError::TimedOut)), "{end:?}");
            }
        });
    });
    // 50 MB were published to each.
    assert!(info.bytes_max <= 32 << 20, "{info:?}");
}

#[test]
fn a_million_pings_through_the_driver_hold_a_few_buffers() {
    let runtime = virtual_time();
    let info = measure(|| {
        runtime.block_on(async {
            let (a, b) = duplex(16 << 10);
            let (_never_read, mut write) = tokio::io::split(b);
            let mut config = no_pings();
            config.control_rate = None;
            let mut socket = server(a, config);
            let flood = tokio::spawn(async move {
                let pings = [0x89, 0x84, 1, 2, 3, 4, 5, 6, 7, 8].repeat(1000);
                for _ in 0..1000 {
                    write.write_all(&pings).await?;
                }
                std::io::Result::Ok(write)
            });
            let end = socket.recv().await;
            assert!(matches!(end, Err(RecvError::TimedOut)), "{end:?}");
            let received = socket.stats().bytes_received;
            assert_eq!(received, 10_000_000, "all were taken");
            drop(flood.await);
        });
    });
    assert!(info.bytes_max <= 512 << 10, "{info:?}");
}

#[test]
fn a_kept_message_pins_no_read_buffer_of_the_driver() {
    let runtime = virtual_time();
    runtime.block_on(async {
        let (a, mut b) = duplex(1 << 20);
        let mut socket = server(a, no_pings());
        let frame = [0x82, 0x84, 0, 0, 0, 0, b't', b'i', b'n', b'y'];
        b.write_all(&frame.repeat(6000)).await.unwrap();
        socket.recv().await.unwrap(); // buffers are there
        let mut kept = Vec::with_capacity(5999);
        let mut receive = Box::pin(async {
            for _ in 0..5999 {
                kept.push(socket.recv().await.unwrap().unwrap());
            }
        });
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        let info = measure(|| while receive.as_mut().poll(&mut context).is_pending() {});
        drop(receive);
        let each = info.bytes_current / 5999;
        assert!(each <= 64, "{each} bytes are kept for four");
        socket.start_close(CloseCode::NORMAL, "");
    });
}

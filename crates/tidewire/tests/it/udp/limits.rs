//! Empty, largest and too large datagrams; queues that are full; memory.

use tidewire::udp::{Client, Config, DatagramRef, Handler, SendError, Server, Session};

use super::{client, config, drain, echo_server, receive, within};

#[tokio::test]
async fn the_largest_and_the_smallest_datagram_come_whole() {
    for (address, max) in [("127.0.0.1:0", 65_507), ("[::1]:0", 65_487)] {
        let server = echo_server(address);
        let mut socket = client(server.local_addr()).await;
        for len in [0, 1, 1472, 9000, max] {
            let payload: Vec<u8> = (0..len).map(|it| u8::try_from(it % 251).unwrap()).collect();
            socket.send(&payload).await.unwrap();
            assert_eq!(receive(&mut socket).await.payload, payload, "{len} bytes");
        }
        drain(server).await;
    }
}

#[tokio::test]
async fn a_datagram_above_the_limit_is_refused_in_words() {
    let server = echo_server("127.0.0.1:0");
    let socket = client(server.local_addr()).await;
    let error = socket.send(&vec![0; 65_508]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "a datagram of 65508 bytes is too large, at most 65507 are allowed"
    );
    let small = Client::to(server.local_addr()).config(Config::default().datagram_bytes_max(100));
    let small = small.connect().await.unwrap();
    let error = small.send(&[0; 101]).await.unwrap_err();
    assert!(matches!(error, SendError::TooLarge { len: 101, max: 100 }));
    let error = small
        .send_to(b"", "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "port 0 cannot be sent to");
    drain(server).await;
}

#[tokio::test]
async fn what_is_longer_than_allowed_is_dropped_and_counted_when_it_comes() {
    let mut config = config("127.0.0.1:0");
    config.socket.datagram_bytes_max = 100;
    let server = Server::new(config, super::echo).start().unwrap();
    let mut socket = client(server.local_addr()).await;
    for len in [101, 100, 2000, 3] {
        socket.send(&vec![1; len]).await.unwrap();
    }
    assert_eq!(receive(&mut socket).await.payload.len(), 100);
    assert_eq!(receive(&mut socket).await.payload.len(), 3);
    let traffic = server.traffic();
    assert_eq!(traffic.datagrams_oversized, 2);
    assert_eq!(traffic.datagrams_received, 4);
    drain(server).await;
}

#[tokio::test]
async fn a_datagram_that_is_cut_by_a_buffer_says_so() {
    let server = echo_server("127.0.0.1:0");
    let mut socket = client(server.local_addr()).await;
    let mut buffer = [0; 4];
    for (text, len, is_truncated) in [("four", 4, false), ("five!", 4, true), ("", 0, false)] {
        socket.send(text.as_bytes()).await.unwrap();
        let received = within(socket.recv_into(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!((received.len, received.is_truncated), (len, is_truncated));
    }
    assert_eq!(socket.sender().traffic().datagrams_oversized, 1);
    drain(server).await;
}

#[tokio::test]
async fn a_full_queue_says_so_and_is_sent_once_the_system_takes_it() {
    let mut listener = Client::listen("127.0.0.1:0".parse().unwrap())
        .connect()
        .await
        .unwrap();
    let mut config = config("127.0.0.1:0");
    config.socket.send_queue_bytes_max = 10 * (64 + 4);
    let server = Server::new(config, super::echo).start().unwrap();
    // The runtime has not yet heard from the system that the new socket can be sent on.
    let sender = server.sender();
    let to = listener.local_addr();
    for number in 0..10_u32 {
        sender.try_send_to(&number.to_be_bytes(), to).unwrap();
    }
    let full = sender.try_send_to(&[0; 4], to).unwrap_err();
    assert!(matches!(full, SendError::Full));
    assert_eq!(sender.queued(), 40);
    assert_eq!(server.traffic().bytes_queued, 40);
    // Who waits comes behind.
    within(sender.send_to(&10_u32.to_be_bytes(), to))
        .await
        .unwrap();
    within(sender.flush()).await.unwrap();
    assert_eq!(sender.queued(), 0);
    for number in 0..11_u32 {
        assert_eq!(
            receive(&mut listener).await.payload,
            &number.to_be_bytes()[..]
        );
    }
    drain(server).await;
}

#[tokio::test(start_paused = true)]
async fn waiting_for_room_has_a_deadline() {
    let mut config = config("127.0.0.1:0");
    config.socket.send_queue_bytes_max = 64;
    let server = Server::new(config, super::echo).start().unwrap();
    let sender = server.sender();
    let to = server.local_addr();
    sender.try_send_to(b"", to).unwrap();
    let timeout = std::time::Duration::ZERO;
    let error = sender.send_to_timeout(b"", to, timeout).await.unwrap_err();
    assert!(matches!(error, SendError::Timeout), "{error}");
    let closed = sender.clone();
    drain(server).await;
    let error = closed.try_send_to(b"", to).unwrap_err();
    assert_eq!(error.to_string(), "the socket is closed");
    assert!(!closed.is_open());
}

/// Says a hundred things to everybody who says one.
struct Talker;

impl Handler for Talker {
    fn received(&mut self, session: &mut Session<'_>, _: DatagramRef<'_>) {
        for number in 0..100_u8 {
            match session.reply(&[number]) {
                Ok(()) => assert!(number < 20),
                Err(error) => assert!(matches!(error, SendError::Full), "{error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_handler_that_says_too_much_at_once_is_told() {
    let mut config = config("127.0.0.1:0");
    config.socket.send_queue_bytes_max = 20 * 65;
    let server = Server::handlers(config, |_| Talker).start().unwrap();
    let mut socket = client(server.local_addr()).await;
    for _ in 0..3 {
        socket.send(b"?").await.unwrap();
        for number in 0..20 {
            assert_eq!(receive(&mut socket).await.payload, &[number][..]);
        }
    }
    assert_eq!(server.traffic().datagrams_sent, 60);
    drain(server).await;
}

#[test]
fn after_warm_up_a_handler_costs_no_allocation_and_an_idle_socket_little() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = echo_server("127.0.0.1:0");
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server.local_addr()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
        let round = async || {
            for _ in 0..50 {
                socket.send(&[7; 32]).await.unwrap();
            }
            let mut buffer = [0; 64];
            for _ in 0..50 {
                assert_eq!(within(socket.recv(&mut buffer)).await.unwrap(), 32);
            }
        };
        for _ in 0..3 {
            round().await;
        }
        let sender = server.sender();
        let before = sender.traffic().datagrams_received;
        // Only what this thread does counts, and it does all of it.
        let mut allocated = 0;
        for _ in 0..10 {
            let mut future = std::pin::pin!(round());
            std::future::poll_fn(|cx| {
                let mut poll = None;
                let info = allocation_counter::measure(|| poll = Some(future.as_mut().poll(cx)));
                allocated += info.count_total;
                poll.unwrap()
            })
            .await;
        }
        assert_eq!(sender.traffic().datagrams_received - before, 500);
        assert_eq!(allocated, 0, "by the client");
        drain(server).await;
    });
}

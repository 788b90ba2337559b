//! Servers that end, and come again.

use tidewire::udp::{Server, Socket, StartError};

use super::{Echo, client, config, drain, receive};

#[tokio::test]
async fn what_has_come_before_a_drain_is_answered() {
    for is_async in [false, true] {
        let server = if is_async {
            Server::new(config("127.0.0.1:0"), super::echo)
        } else {
            Server::handlers(config("127.0.0.1:0"), |_| Echo)
        };
        let server = server.start().unwrap();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(server.local_addr()).unwrap();
        for number in 0..100_u8 {
            client.send(&[number]).unwrap();
        }
        drain(server).await;
        let mut buffer = [0; 8];
        for number in 0..100 {
            assert_eq!(client.recv(&mut buffer).unwrap(), 1);
            assert_eq!(buffer[0], number);
        }
    }
}

#[tokio::test]
async fn a_server_starts_again_on_its_port() {
    let mut config = config("127.0.0.1:0");
    let first = Server::new(config.clone(), super::echo).start().unwrap();
    config.address = first.local_addr();
    let in_use_address = config.address;
    let server = Server::new(config, super::echo);
    let in_use = server.start().unwrap_err();
    assert!(matches!(in_use, StartError::Bind { .. }), "{in_use}");
    drain(first).await;
    let mut socket = client(in_use_address).await;
    for _ in 0..3 {
        let running = server.start().unwrap();
        socket.send(b"again").await.unwrap();
        // It may have been told before that nobody was there.
        while socket.recv().await.is_err() {
            socket.send(b"again").await.unwrap();
        }
        drain(running).await;
    }
}

#[tokio::test]
async fn dropping_a_server_or_ending_its_function_closes_its_port() {
    let server = Server::new(config("127.0.0.1:0"), |mut socket: Socket| async move {
        let datagram = socket.recv().await.unwrap().unwrap();
        socket.reply(&datagram.origin, b"once").await.unwrap();
    });
    let running = server.start().unwrap();
    let mut socket = client(running.local_addr()).await;
    socket.send(b"?").await.unwrap();
    assert_eq!(&receive(&mut socket).await.payload[..], b"once");
    running.ended().await;
    assert!(!running.sender().is_open());
    drop(running);
    let dropped = server.start().unwrap();
    let sender = dropped.sender();
    drop(dropped);
    assert!(!sender.is_open());
}

/// Numbers at random, always the same.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[tokio::test]
async fn random_clients_come_talk_and_go() {
    let server = Server::handlers(config("127.0.0.1:0"), |_| Echo);
    let mut running = server.start().unwrap();
    let mut random = Random(0x5eed);
    let mut clients: Vec<Socket> = Vec::new();
    let (mut sent, mut answered) = (0, 0);
    for _ in 0..3000 {
        match random.below(100) {
            0..10 if clients.len() < 50 => clients.push(client(running.local_addr()).await),
            10..15 if !clients.is_empty() => {
                let at = usize::try_from(random.below(clients.len() as u64)).unwrap();
                drop(clients.swap_remove(at));
            }
            15..16 => {
                drain(running).await;
                running = server.start().unwrap();
                clients.clear();
            }
            16..30 => tokio::task::yield_now().await,
            30..60 if !clients.is_empty() => {
                // Sends and is gone, or does not listen: nobody minds.
                let at = usize::try_from(random.below(clients.len() as u64)).unwrap();
                let lost = clients[at].send(b"lost?").await;
                assert!(lost.is_ok(), "{lost:?}");
            }
            _ => {
                let mut socket = client(running.local_addr()).await;
                socket.send(b"test").await.unwrap();
                sent += 1;
                answered += usize::from(receive(&mut socket).await.payload == "test");
            }
        }
    }
    assert_eq!(sent, answered);
    drain(running).await;
}

//! Servers and clients, in both styles, over both protocols.

use std::{net::UdpSocket, num::NonZeroUsize};

use tidewire::{
    service::Workers,
    udp::{Client, Server, ServerConfig},
};

use super::{Echo, client, config, drain, echo, echo_server, receive, within};

#[tokio::test]
async fn every_byte_is_counted_on_both_sides() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        for is_async in [false, true] {
            let server = if is_async {
                Server::new(config(address), echo)
            } else {
                Server::handlers(config(address), |_| Echo)
            };
            let server = server.start().unwrap();
            let mut socket = client(server.local_addr()).await;
            for text in ["test", "", "hello again"] {
                socket.send(text.as_bytes()).await.unwrap();
                let datagram = receive(&mut socket).await;
                assert_eq!(&datagram.payload[..], text.as_bytes());
                assert_eq!(datagram.from(), server.local_addr());
            }
            for traffic in [server.traffic(), socket.sender().traffic()] {
                assert_eq!(traffic.bytes_sent, 15);
                assert_eq!(traffic.bytes_received, 15);
                assert_eq!(traffic.datagrams_sent, 3);
                assert_eq!(traffic.datagrams_received, 3);
                assert_eq!(traffic.bytes_queued, 0);
                assert_eq!(traffic.errors, 0);
            }
            drain(server).await;
        }
    }
}

#[tokio::test]
async fn a_batch_comes_back_in_order_whatever_its_lengths() {
    let server = echo_server("127.0.0.1:0");
    let mut socket = client(server.local_addr()).await;
    // Runs of equal lengths, which leave as segments of one, between others.
    let length = |number: usize| match number {
        0..30 | 70..75 => 8,
        30..60 => number,
        60..70 => 1400,
        75..80 => 0,
        _ => 16,
    };
    let payload = |number: usize| vec![u8::try_from(number).unwrap(); length(number)];
    let sender = socket.sender();
    let sent = sender.try_send_many(|batch| {
        for number in 0..100 {
            batch.send(&payload(number)).unwrap();
        }
    });
    sent.unwrap();
    for number in 0..100 {
        assert_eq!(
            receive(&mut socket).await.payload,
            payload(number),
            "{number}"
        );
    }
    assert_eq!(server.traffic().datagrams_received, 100);
    drain(server).await;
}

#[tokio::test]
async fn several_clients_in_one_batch_are_each_answered() {
    let server = echo_server("127.0.0.1:0");
    // Sockets of the system: they send although nobody of this thread runs.
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(server.local_addr()).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
        .collect();
    for round in 0..5_u8 {
        for (number, socket) in (0_u8..).zip(&clients) {
            socket.send(&[number, round]).unwrap();
        }
    }
    let clients = clients
        .into_iter()
        .map(|it| tokio::net::UdpSocket::from_std(it).unwrap());
    for (number, socket) in (0_u8..).zip(clients) {
        for round in 0..5 {
            let mut buffer = [0; 8];
            let len = within(socket.recv(&mut buffer)).await.unwrap();
            assert_eq!(&buffer[..len], [number, round]);
        }
    }
    drain(server).await;
}

#[tokio::test]
async fn workers_share_a_port_and_all_their_clients_are_served() {
    let workers = Workers::PerCore(NonZeroUsize::new(4).unwrap());
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap()).workers(workers);
    let server = Server::handlers(config, |_| Echo).start().unwrap();
    assert_eq!(server.senders().len(), 4);
    for number in 0..40_u32 {
        let mut socket = client(server.local_addr()).await;
        socket.send(&number.to_be_bytes()).await.unwrap();
        assert_eq!(
            receive(&mut socket).await.payload,
            &number.to_be_bytes()[..]
        );
    }
    let used = server
        .senders()
        .iter()
        .filter(|it| it.traffic().datagrams_received > 0)
        .count();
    assert!(used > 1, "{used} of 4 workers got all of 40 clients");
    assert_eq!(server.traffic().datagrams_received, 40);
    drain(server).await;
}

#[tokio::test]
async fn an_answer_comes_from_the_address_that_was_asked() {
    for is_async in [false, true] {
        let server = if is_async {
            Server::new(config("0.0.0.0:0"), echo)
        } else {
            Server::handlers(config("0.0.0.0:0"), |_| Echo)
        };
        let server = server.start().unwrap();
        // The system alone would answer from 127.0.0.1, which the client does not hear.
        let asked = ([127, 0, 0, 2], server.local_addr().port()).into();
        let mut socket = client(asked).await;
        for count in 1..5 {
            for _ in 0..count {
                socket.send(b"from where?").await.unwrap();
            }
            for _ in 0..count {
                assert_eq!(receive(&mut socket).await.from(), asked);
            }
        }
        drain(server).await;
    }
}

#[tokio::test]
async fn a_socket_of_ipv6_serves_ipv4_beside_and_tells_such_addresses() {
    let mut config = config("[::]:0");
    config.socket.only_v6 = Some(false);
    let server = Server::new(config, echo).start().unwrap();
    let port = server.local_addr().port();
    for address in [
        ([127, 0, 0, 1], port).into(),
        format!("[::1]:{port}").parse().unwrap(),
    ] {
        let mut socket = client(address).await;
        socket.send(b"hello").await.unwrap();
        assert_eq!(receive(&mut socket).await.from(), address);
        server
            .sender()
            .try_send_to(b"direct", socket.local_addr())
            .unwrap();
        if !socket.local_addr().ip().is_unspecified() {
            assert_eq!(&receive(&mut socket).await.payload[..], b"direct");
        }
    }
    drain(server).await;
}

#[tokio::test]
async fn a_client_finds_its_server_by_name_and_sends_to_others_too() {
    let server = echo_server("127.0.0.1:0");
    let name = format!("localhost:{}", server.local_addr().port());
    let client = Client::new(name).local_address("127.0.0.1:0".parse().unwrap());
    let mut socket = client.clone().connect().await.unwrap();
    assert_eq!(socket.peer(), Some(server.local_addr()));
    socket.send(b"named").await.unwrap();
    assert_eq!(&receive(&mut socket).await.payload[..], b"named");

    let other = echo_server("127.0.0.1:0");
    let mut open = client.hear_all(true).connect().await.unwrap();
    open.send_to(b"other", other.local_addr()).await.unwrap();
    assert_eq!(receive(&mut open).await.from(), other.local_addr());
    open.send(b"peer").await.unwrap();
    assert_eq!(receive(&mut open).await.from(), server.local_addr());
    // Who hears only the peer can send elsewhere as well.
    socket
        .send_to(b"unheard", other.local_addr())
        .await
        .unwrap();
    open.send_to(b"behind it", other.local_addr())
        .await
        .unwrap();
    assert_eq!(&receive(&mut open).await.payload[..], b"behind it");
    assert_eq!(other.traffic().datagrams_received, 3);
    drain(server).await;
    drain(other).await;
}

#[tokio::test]
async fn a_name_without_an_address_is_an_error_in_words() {
    let error = Client::new("no.such.host.invalid:1")
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "cannot resolve no.such.host.invalid:1");
}

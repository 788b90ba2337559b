//! Peers that are not there, and peers that do not stop.

use std::{io, net::SocketAddr};

use tidewire::udp::{Client, DatagramRef, Event, Handler, RecvError, Server, Session, Socket};

use super::{client, config, drain, echo_server, receive, within};

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

#[tokio::test]
async fn a_client_is_told_that_nobody_listens_and_goes_on() {
    let address = nobody();
    let mut socket = client(address).await;
    for _ in 0..3 {
        socket.send(b"anybody?").await.unwrap();
        let error = within(socket.recv()).await.unwrap_err();
        let RecvError::Unreachable(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.to, Some(address));
        assert_eq!(error.error.kind(), io::ErrorKind::ConnectionRefused);
    }
    assert_eq!(socket.sender().traffic().errors, 3);
    let server = echo_server(&address.to_string());
    socket.send(b"now?").await.unwrap();
    assert_eq!(&receive(&mut socket).await.payload[..], b"now?");
    drain(server).await;
}

#[tokio::test]
async fn a_server_is_told_who_has_vanished_and_goes_on() {
    let server = echo_server("127.0.0.1:0");
    for _ in 0..5 {
        let gone = nobody();
        let sender = server.sender();
        sender.try_send_to(b"are you there?", gone).ok();
        let mut socket = client(server.local_addr()).await;
        socket.send(b"I am").await.unwrap();
        assert_eq!(&receive(&mut socket).await.payload[..], b"I am");
    }
    let traffic = server.traffic();
    assert_eq!(traffic.errors, 5, "{traffic:?}");
    drain(server).await;
}

#[tokio::test]
async fn a_socket_without_a_peer_receives_on_and_shows_errors_to_who_asks() {
    let gone = nobody();
    let mut socket = Client::listen("127.0.0.1:0".parse().unwrap())
        .connect()
        .await
        .unwrap();
    socket.send_to(b"?", gone).await.unwrap();
    let Some(Event::Error(error)) = within(socket.event()).await.unwrap() else {
        panic!("expected an error");
    };
    assert_eq!(error.to, Some(gone));
    assert_eq!(
        error.to_string(),
        format!("a datagram to {gone} did not arrive")
    );
    socket.send_to(b"?", gone).await.unwrap();
    socket
        .send_to(b"to myself", socket.local_addr())
        .await
        .unwrap();
    assert_eq!(&receive(&mut socket).await.payload[..], b"to myself");
    let error = socket.send(b"to whom?").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the socket has no peer; send to an address"
    );
}

/// Says everything twice to itself.
struct Flood;

impl Handler for Flood {
    fn received(&mut self, session: &mut Session<'_>, datagram: DatagramRef<'_>) {
        let myself = session.local_addr();
        for _ in 0..2 {
            // The system has room for so many; the rest is lost.
            session.send_to(datagram.payload, myself).ok();
        }
    }
}

#[tokio::test]
async fn a_flood_leaves_other_tasks_their_turn_and_ends_with_the_server() {
    let flooded = Server::handlers(config("127.0.0.1:0"), |_| Flood);
    let flooded = flooded.start().unwrap();
    let quiet = echo_server("127.0.0.1:0");
    let mut socket = client(quiet.local_addr()).await;
    flooded
        .sender()
        .try_send_to(b"begin", flooded.local_addr())
        .unwrap();
    while flooded.traffic().datagrams_received < 1000 {
        within(tokio::task::yield_now()).await;
    }
    for _ in 0..100 {
        socket.send(b"still here?").await.unwrap();
        receive(&mut socket).await;
    }
    assert!(flooded.traffic().datagrams_received > 1000);
    drain(flooded).await;
    drain(quiet).await;
}

#[tokio::test]
async fn a_flood_leaves_an_async_server_its_turns_too() {
    let flooded = Server::new(config("127.0.0.1:0"), |mut socket: Socket| async move {
        let myself = socket.local_addr();
        while let Ok(Some(datagram)) = socket.recv().await {
            for _ in 0..2 {
                socket.sender().try_send_to(&datagram.payload, myself).ok();
            }
        }
    });
    let flooded = flooded.start().unwrap();
    flooded
        .sender()
        .try_send_to(b"begin", flooded.local_addr())
        .unwrap();
    while flooded.traffic().datagrams_received < 10_000 {
        within(tokio::task::yield_now()).await;
    }
    drain(flooded).await;
}

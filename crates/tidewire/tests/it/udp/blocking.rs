//! Calls that block the thread.

use std::{
    io,
    net::UdpSocket,
    sync::{Arc, mpsc::sync_channel},
    thread,
    time::Duration,
};

use tidewire::blocking::udp::{self, Client, Group, RecvError, SendError};

use super::HANG_GUARD;

#[test]
fn a_blocking_socket_sends_receives_and_waits_no_longer_than_it_may() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = UdpSocket::bind(address).unwrap();
        let socket = udp::connect(&server.local_addr().unwrap().to_string()).unwrap();
        socket.send(b"hello").unwrap();
        socket.send_timeout(b"", HANG_GUARD).unwrap();
        let mut buffer = [0; 16];
        for len in [5, 0] {
            let (received, from) = server.recv_from(&mut buffer).unwrap();
            assert_eq!(received, len);
            server.send_to(&buffer[..len], from).unwrap();
        }
        assert_eq!(&socket.recv().unwrap().payload[..], b"hello");
        let datagram = socket.recv_timeout(HANG_GUARD).unwrap();
        assert_eq!(&datagram.payload[..], b"");
        assert_eq!(datagram.from(), server.local_addr().unwrap());
        let error = socket.recv_timeout(Duration::from_millis(1)).unwrap_err();
        assert!(matches!(error, RecvError::Timeout), "{error}");
        let error = socket.recv_timeout(Duration::ZERO).unwrap_err();
        assert!(matches!(error, RecvError::Timeout), "{error}");
        let traffic = socket.traffic();
        assert_eq!((traffic.bytes_sent, traffic.bytes_received), (5, 5));
        assert_eq!((traffic.datagrams_sent, traffic.datagrams_received), (2, 2));
        let error = socket.send(&vec![0; 70_000]).unwrap_err();
        assert!(matches!(error, SendError::TooLarge { .. }), "{error}");

        drop(server);
        socket.send(b"anybody?").unwrap();
        let error = socket.recv_timeout(HANG_GUARD).unwrap_err();
        let RecvError::Unreachable(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.error.kind(), io::ErrorKind::ConnectionRefused);
        socket.send(b"the socket goes on").unwrap();
    }
}

#[test]
fn a_blocking_socket_joins_and_leaves_groups() {
    let group = Group::new([239, 255, 0, 9]).interface("lo");
    let client = Client::listen("0.0.0.0:0".parse().unwrap()).group(group.clone());
    let socket = udp::Socket::open(&client).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().port();
    let interface = "127.0.0.1".parse().unwrap();
    socket2::SockRef::from(&sender)
        .set_multicast_if_v4(&interface)
        .unwrap();
    sender.send_to(b"to all", ("239.255.0.9", port)).unwrap();
    let datagram = socket.recv_timeout(HANG_GUARD).unwrap();
    assert_eq!(&datagram.payload[..], b"to all");
    socket.leave(&group).unwrap();
    sender.send_to(b"unheard", ("239.255.0.9", port)).unwrap();
    sender.send_to(b"direct", ("127.0.0.1", port)).unwrap();
    let datagram = socket.recv_timeout(HANG_GUARD).unwrap();
    assert_eq!(&datagram.payload[..], b"direct");
    let one_source = Group::new("ff32::1".parse::<std::net::Ipv6Addr>().unwrap());
    let error = socket.join(&one_source.source(std::net::Ipv6Addr::LOCALHOST));
    assert!(error.is_err());
}

#[test]
fn a_time_limit_is_kept_while_another_thread_waits_for_as_long_as_it_takes() {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = Arc::new(udp::connect(&peer.local_addr().unwrap().to_string()).unwrap());
    let waiting = thread::spawn({
        let socket = Arc::clone(&socket);
        move || socket.recv().unwrap()
    });
    let (sender, timed_out) = sync_channel(0);
    let limited = Arc::clone(&socket);
    thread::spawn(move || {
        // Often enough that the other thread waits meanwhile.
        for _ in 0..100 {
            let error = limited.recv_timeout(Duration::from_millis(1)).unwrap_err();
            assert!(matches!(error, RecvError::Timeout), "{error}");
            limited.send_timeout(b"?", HANG_GUARD).unwrap();
        }
        sender.send(()).unwrap();
    });
    timed_out.recv_timeout(HANG_GUARD).unwrap();
    peer.send_to(b"!", socket.local_addr()).unwrap();
    assert_eq!(&waiting.join().unwrap().payload[..], b"!");
}

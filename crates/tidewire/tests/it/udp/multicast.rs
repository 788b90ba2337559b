//! Groups, on the loopback interface.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
};

use tidewire::{
    service::Workers,
    udp::{
        Client, Config, Group, MulticastOptions, RunningServer, SendError, Server, ServerConfig,
        Socket, StartError,
    },
};

use super::{client, config, drain, echo, receive, within};

/// Sends by this interface, also to members of this machine.
fn by(interface: &str) -> Config {
    let multicast = MulticastOptions::default()
        .interface(interface)
        .loopback(true);
    Config::default().multicast(multicast)
}

fn server(interface: &str, address: &str, multicast_to: SocketAddr) -> RunningServer {
    let config = config(address)
        .socket(by(interface))
        .multicast_to(multicast_to);
    Server::new(config, echo).start().unwrap()
}

/// An interface by which the system sends to groups of IPv6: it has a route for `ff00::/8`. The loopback interface has
/// none.
fn ipv6_interface() -> Option<String> {
    let routes = std::fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    let group = "ff000000000000000000000000000000 08 ";
    let route = routes.lines().find(|it| it.starts_with(group))?;
    route.split_whitespace().last().map(str::to_owned)
}

/// Where the system has no way to a group of IPv6, that is an error of who sends, and joining works all the same.
async fn no_way_is_told() {
    let socket = listener("[::]:0").await;
    let group: Ipv6Addr = "ff12::7469:9".parse().unwrap();
    let on_loopback = Group::new(group).interface("lo");
    socket.sender().join(&on_loopback).unwrap();
    let sender = Client::to((group, 9).into())
        .config(by("lo"))
        .hear_all(true);
    let sent = sender.connect().await.unwrap().send(b"?").await;
    assert!(matches!(sent, Err(SendError::Refused(_))), "{sent:?}");
}

/// A socket that listens on a port of its own, to be shared with others.
async fn listener(address: &str) -> Socket {
    let client = Client::listen(address.parse().unwrap());
    client.connect().await.unwrap()
}

async fn beside(socket: &Socket, address: &str) -> Socket {
    let mut address: SocketAddr = address.parse().unwrap();
    address.set_port(socket.local_addr().port());
    Client::listen(address).connect().await.unwrap()
}

#[tokio::test]
async fn members_that_join_and_leave_get_exactly_what_is_sent_meanwhile() {
    let ipv6 = ipv6_interface();
    if ipv6.is_none() {
        no_way_is_told().await;
    }
    let ipv6 = ipv6.map(|it| ("[::]:0", it, "ff12::7469:1".parse().unwrap()));
    let ipv4 = (
        "127.0.0.1:0",
        "lo".to_owned(),
        IpAddr::from([239, 255, 0, 1]),
    );
    for (local, interface, group) in [ipv4].into_iter().chain(ipv6) {
        let any = if group.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let interface = interface.as_str();
        let mut first = listener(any).await;
        let mut second = beside(&first, any).await;
        let mut third = beside(&first, any).await;
        let to = (group, first.local_addr().port()).into();
        let server = server(interface, local, to);
        let group = Group::new(group).interface(interface);

        first.sender().join(&group).unwrap();
        server.multicast(b"test").await.unwrap();
        receive(&mut first).await;
        second.sender().join(&group).unwrap();
        server.multicast(b"test").await.unwrap();
        for member in [&mut first, &mut second] {
            assert_eq!(&receive(member).await.payload[..], b"test");
        }
        third.sender().join(&group).unwrap();
        server.try_multicast(b"test").unwrap();
        for member in [&mut first, &mut second, &mut third] {
            let datagram = receive(member).await;
            assert_eq!(datagram.origin.to, Some(group.address));
            assert!(datagram.origin.interface.is_some());
        }
        first.sender().leave(&group).unwrap();
        assert_eq!(first.sender().groups(), []);
        server.multicast(b"test").await.unwrap();
        second.sender().leave(&group).unwrap();
        server.multicast(b"test").await.unwrap();
        third.sender().leave(&group).unwrap();
        server.multicast(b"test").await.unwrap();
        // The system delivers in order: what follows shows that nothing else came.
        for member in [&first, &second, &third] {
            member.sender().join(&group).unwrap();
        }
        server.multicast(b"end").await.unwrap();
        for (member, expected) in [(&mut first, 3), (&mut second, 3), (&mut third, 3)] {
            while receive(member).await.payload != "end" {}
            let traffic = member.sender().traffic();
            assert_eq!(traffic.datagrams_received, expected + 1);
            assert_eq!(traffic.bytes_received, 4 * expected + 3);
        }
        assert_eq!(server.traffic().bytes_sent, 6 * 4 + 3);
        drain(server).await;
    }
}

#[tokio::test]
async fn of_a_group_with_a_source_only_that_source_is_heard() {
    let group = IpAddr::from([232, 1, 1, 1]);
    let mut member = listener("0.0.0.0:0").await;
    let to = (group, member.local_addr().port()).into();
    let wanted = server("lo", "127.0.0.3:0", to);
    let unwanted = server("lo", "127.0.0.4:0", to);
    let group = Group::new(group).interface("lo").source([127, 0, 0, 3]);
    member.sender().join(&group).unwrap();
    for server in [&unwanted, &wanted] {
        server.multicast(b"who is it?").await.unwrap();
        within(server.sender().flush()).await.unwrap();
    }
    assert_eq!(receive(&mut member).await.from(), wanted.local_addr());
    let second = group.clone().source([127, 0, 0, 4]);
    member.sender().join(&second).unwrap();
    member.sender().leave(&group).unwrap();
    for server in [&wanted, &unwanted] {
        server.multicast(b"and now?").await.unwrap();
    }
    assert_eq!(receive(&mut member).await.from(), unwanted.local_addr());
    assert_eq!(member.sender().traffic().datagrams_received, 2);
    drain(wanted).await;
    drain(unwanted).await;
}

#[tokio::test]
async fn of_an_ipv6_group_another_source_is_dropped_and_counted() {
    let Some(interface) = ipv6_interface() else {
        return no_way_is_told().await;
    };
    let mut member = listener("[::]:0").await;
    let group: IpAddr = "ff32::7469:3".parse().unwrap();
    let server = server(
        &interface,
        "[::]:0",
        (group, member.local_addr().port()).into(),
    );
    let sender = member.sender();
    let of = |source: IpAddr| {
        Group::new(group)
            .interface(interface.as_str())
            .source(source)
    };
    let elsewhere = of("2001:db8::1".parse().unwrap());
    let any_source = Group::new(group).interface(interface.as_str());
    sender.join(&any_source).unwrap();
    server.multicast(b"who is it?").await.unwrap();
    let source = receive(&mut member).await.from().ip();
    sender.leave(&any_source).unwrap();

    sender.join(&elsewhere).unwrap();
    server.multicast(b"unwanted").await.unwrap();
    within(server.sender().flush()).await.unwrap();
    while sender.traffic().datagrams_filtered == 0 {
        // Only what is received is looked at.
        let received = std::pin::pin!(member.recv());
        let look = async { tokio::task::yield_now().await };
        tokio::select! {
            biased;
            received = received => panic!("{received:?}"),
            () = look => {}
        }
    }
    sender.join(&of(source)).unwrap();
    sender.leave(&elsewhere).unwrap();
    server.multicast(b"wanted").await.unwrap();
    assert_eq!(&receive(&mut member).await.payload[..], b"wanted");
    assert_eq!(sender.traffic().datagrams_filtered, 1);
    drain(server).await;
}

#[tokio::test]
async fn of_several_workers_one_receives_from_the_group() {
    let group = Group::new([239, 255, 0, 3]).interface("lo");
    let config = ServerConfig::new("0.0.0.0:0".parse().unwrap())
        .workers(Workers::PerCore(NonZeroUsize::new(3).unwrap()))
        .group(group);
    let server = Server::new(config, echo).start().unwrap();
    let to = SocketAddr::from(([239, 255, 0, 3], server.local_addr().port()));
    let sender = Client::to(to)
        .config(by("lo"))
        .local_address("127.0.0.1:0".parse().unwrap())
        .hear_all(true);
    let mut socket = sender.connect().await.unwrap();
    for number in 1..=5 {
        socket.send(b"once").await.unwrap();
        let answer = receive(&mut socket).await;
        assert!(!answer.from().ip().is_multicast(), "an answer has a source");
        assert_eq!(server.traffic().datagrams_received, number);
    }
    drain(server).await;
}

#[tokio::test]
async fn a_socket_gets_nothing_from_groups_that_others_have_joined() {
    let mut member = listener("0.0.0.0:0").await;
    let mut bystander = beside(&member, "0.0.0.0:0").await;
    let address = IpAddr::from([239, 255, 0, 4]);
    let server = server(
        "lo",
        "127.0.0.1:0",
        (address, member.local_addr().port()).into(),
    );
    let group = Group::new(address).interface("127.0.0.1");
    member.sender().join(&group).unwrap();
    server.multicast(b"for members").await.unwrap();
    receive(&mut member).await;
    bystander.sender().join(&group).unwrap();
    server.multicast(b"for both").await.unwrap();
    assert_eq!(&receive(&mut bystander).await.payload[..], b"for both");
    drain(server).await;
}

#[tokio::test]
async fn what_is_wrong_about_a_group_is_said_in_words() {
    let socket = listener("0.0.0.0:0").await;
    let sender = socket.sender();
    let text = |error: tidewire::udp::GroupError| tidewire::ErrorChain(&error).to_string();
    let error = sender.join(&Group::new([192, 0, 2, 1])).unwrap_err();
    assert_eq!(
        text(error),
        "cannot join 192.0.2.1: 192.0.2.1 is not a multicast address"
    );
    let group = Group::new([239, 255, 0, 5]);
    let error = sender
        .join(&group.clone().interface("nosuch0"))
        .unwrap_err();
    assert_eq!(
        text(error),
        "cannot join 239.255.0.5 on interface nosuch0: there is no such interface: interface nosuch0"
    );
    let error = sender.leave(&group).unwrap_err();
    assert_eq!(
        text(error),
        "cannot leave 239.255.0.5: the socket is no member of it"
    );
    let group = group.interface("lo");
    sender.join(&group).unwrap();
    assert!(sender.join(&group).is_err(), "twice");
    sender.leave(&group).unwrap();
    let server = client("127.0.0.1:9".parse().unwrap()).await;
    let error = within(server.send_to(b"", "[::1]:9".parse().unwrap()))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "an IPv4 socket cannot send to [::1]:9");
}

#[tokio::test]
async fn a_group_that_cannot_be_joined_is_an_error_of_the_start_whoever_works() {
    let two = NonZeroUsize::new(2).unwrap();
    for workers in [Workers::Pool, Workers::PerCore(two)] {
        let group = Group::new([239, 255, 0, 1]).interface("no-such-one");
        let config = config("127.0.0.1:0").workers(workers).group(group);
        let error = Server::new(config, echo).start().unwrap_err();
        assert!(matches!(error, StartError::Group(_)), "{error}");
    }
}

//! From addresses and options to a bound socket; groups joined and left.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};

use super::{Config, Group, Interface, config::MulticastOptions};

/// A bound, nonblocking socket.
pub(super) fn bind(address: SocketAddr, config: &Config) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6()
        && let Some(only) = config.only_v6
    {
        socket.set_only_v6(only)?;
    }
    socket.set_reuse_address(config.reuse_address)?;
    #[cfg(unix)]
    socket.set_reuse_port(config.reuse_port)?;
    if let Some(bytes) = config.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = config.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.set_broadcast(config.broadcast)?;
    if let Some(ttl) = config.ttl {
        if address.is_ipv6() {
            socket.set_unicast_hops_v6(ttl)?;
        } else {
            socket.set_ttl_v4(ttl)?;
        }
    }
    multicast_options(&socket, address, &config.multicast)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn multicast_options(
    socket: &Socket,
    address: SocketAddr,
    options: &MulticastOptions,
) -> io::Result<()> {
    let interface = options.interface.resolve()?;
    if address.is_ipv6() {
        if let Some(loopback) = options.loopback {
            socket.set_multicast_loop_v6(loopback)?;
        }
        if let Some(ttl) = options.ttl {
            socket.set_multicast_hops_v6(ttl)?;
        }
        if interface.index != 0 {
            socket.set_multicast_if_v6(interface.index)?;
        }
    } else {
        if let Some(loopback) = options.loopback {
            socket.set_multicast_loop_v4(loopback)?;
        }
        if let Some(ttl) = options.ttl {
            socket.set_multicast_ttl_v4(ttl)?;
        }
        if options.interface != Interface::Any {
            let address = interface.ipv4.ok_or_else(|| no_ipv4(&options.interface))?;
            socket.set_multicast_if_v4(&address)?;
        }
    }
    // A system delivers what any socket of the machine has joined, unless told otherwise.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if address.is_ipv6() {
        socket.set_multicast_all_v6(false)?;
    } else {
        socket.set_multicast_all_v4(false)?;
    }
    Ok(())
}

fn no_ipv4(interface: &Interface) -> io::Error {
    io::Error::new(
        io::ErrorKind::AddrNotAvailable,
        format!("{interface} has no IPv4 address"),
    )
}

/// Membership begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Join,
    Leave,
}

/// Joins or leaves; the source of an IPv6 group is left to the caller.
pub(super) fn change(socket: &SockRef<'_>, group: &Group, change: Change) -> io::Result<()> {
    group.check()?;
    let interface = group.interface.resolve()?;
    match (group.address, group.source) {
        (IpAddr::V4(address), Some(IpAddr::V4(source))) => {
            let by = match (&group.interface, interface.ipv4) {
                (Interface::Any, _) => Ipv4Addr::UNSPECIFIED,
                (_, Some(address)) => address,
                (_, None) => return Err(no_ipv4(&group.interface)),
            };
            match change {
                Change::Join => socket.join_ssm_v4(&source, &address, &by),
                Change::Leave => socket.leave_ssm_v4(&source, &address, &by),
            }
        }
        (IpAddr::V4(address), _) => {
            let by = match interface.index {
                0 => InterfaceIndexOrAddress::Address(
                    interface.ipv4.unwrap_or(Ipv4Addr::UNSPECIFIED),
                ),
                index => InterfaceIndexOrAddress::Index(index),
            };
            match change {
                Change::Join => socket.join_multicast_v4_n(&address, &by),
                Change::Leave => socket.leave_multicast_v4_n(&address, &by),
            }
        }
        (IpAddr::V6(address), _) => match change {
            Change::Join => socket.join_multicast_v6(&address, interface.index),
            Change::Leave => socket.leave_multicast_v6(&address, interface.index),
        },
    }
}

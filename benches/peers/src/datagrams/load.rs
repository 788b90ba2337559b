//! The generator: bare batches of system calls over many sockets.

use std::{
    array,
    io::{IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::UdpSocket};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg},
};
use socket2::{Domain, Socket, Type};

use super::Work;
use crate::{
    child::Server,
    load::{Figure, Stopwatch, Times},
};

/// Bytes that every socket asks the system to hold; it may give less.
pub(super) const BUFFER_BYTES: usize = 4 << 20;

/// Where servers send to in the scenarios of multicast.
pub(super) const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 0, 41), 33_341);

/// Datagrams of a call.
const BATCH: usize = 64;

/// Longest datagram, and its place in the buffer.
const PLACE: usize = 2048;

/// Longest wait before the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// When nothing has come for so long, what was under way is lost.
const LOST_AFTER: Duration = Duration::from_millis(60);

struct Calls {
    bytes: Vec<u8>,
    payload: Vec<u8>,
    received: MultiHeaders<SockaddrIn>,
    sent: MultiHeaders<SockaddrIn>,
}

impl Calls {
    fn new(size: usize) -> Self {
        Self {
            bytes: vec![0; BATCH * PLACE],
            payload: vec![7; size],
            received: MultiHeaders::preallocate(BATCH, None),
            sent: MultiHeaders::preallocate(BATCH, None),
        }
    }

    /// Receives one batch.
    fn receive(&mut self, socket: &UdpSocket) -> anyhow::Result<usize> {
        let mut chunks = self.bytes.chunks_mut(PLACE);
        let mut slices: [_; BATCH] =
            array::from_fn(|_| [IoSliceMut::new(chunks.next().unwrap_or_default())]);
        let flags = MsgFlags::MSG_DONTWAIT;
        match recvmmsg(
            socket.as_raw_fd(),
            &mut self.received,
            slices.iter_mut(),
            flags,
            None,
        ) {
            Ok(received) => Ok(received.count()),
            Err(Errno::EAGAIN | Errno::ECONNREFUSED) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn send(&mut self, socket: &UdpSocket, count: usize) -> anyhow::Result<()> {
        let slices = [[IoSlice::new(&self.payload)]; BATCH];
        let addresses = [None; BATCH];
        let mut left = count;
        while left > 0 {
            let some = left.min(BATCH);
            let flags = MsgFlags::empty();
            let (slices, addresses) = (&slices[..some], &addresses[..some]);
            let sent = sendmmsg(
                socket.as_raw_fd(),
                &mut self.sent,
                slices,
                addresses,
                [],
                flags,
            );
            match sent {
                Ok(sent) => left -= sent.count(),
                Err(Errno::EAGAIN) => return Ok(()), // lost, as the network loses
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

struct Window {
    socket: UdpSocket,
    last: Instant,
}

/// One round.
pub(super) fn round(server: &Server, work: Work, times: Times) -> anyhow::Result<Figure> {
    match work {
        Work::Echo {
            sockets,
            in_flight,
            size,
        } => {
            let sockets = (0..sockets)
                .map(|_| connected(server))
                .collect::<Result<_, _>>()?;
            let calls = Calls::new(size);
            drive(server, sockets, Vec::new(), in_flight, calls, times)
        }
        Work::Multicast {
            receivers,
            in_flight,
            size,
        } => {
            let receivers = (0..receivers).map(|_| member()).collect::<Result<_, _>>()?;
            let publisher = connected(server)?;
            let calls = Calls::new(size);
            drive(server, vec![publisher], receivers, in_flight, calls, times)
        }
    }
}

fn connected(server: &Server) -> anyhow::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.connect(&server.address.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

fn member() -> anyhow::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.bind(&GROUP.into())?;
    socket.join_multicast_v4(GROUP.ip(), &Ipv4Addr::LOCALHOST)?;
    Ok(UdpSocket::from_std(socket.into()))
}

/// Keeps datagrams under way. Without receivers each socket hears its own; with receivers the first of them tells the
/// publisher how many have gone round, and all count.
fn drive(
    server: &Server,
    senders: Vec<UdpSocket>,
    mut receivers: Vec<UdpSocket>,
    in_flight: usize,
    mut calls: Calls,
    times: Times,
) -> anyhow::Result<Figure> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut windows = Vec::with_capacity(senders.len());
    let is_multicast = !receivers.is_empty();
    for (number, receiver) in receivers.iter_mut().enumerate() {
        poll.registry()
            .register(receiver, Token(number), Interest::READABLE)?;
    }
    for (number, mut socket) in senders.into_iter().enumerate() {
        if !is_multicast {
            poll.registry()
                .register(&mut socket, Token(number), Interest::READABLE)?;
        }
        let last = Instant::now();
        windows.push(Window { socket, last });
    }
    let mut stopwatch = Stopwatch::start(server, times);
    for window in &windows {
        calls.send(&window.socket, in_flight)?;
    }
    let mut count = 0;
    loop {
        poll.poll(&mut events, Some(LOOK_EVERY))?;
        let now = Instant::now();
        for event in &events {
            let number = event.token().0;
            let (socket, window) = if is_multicast {
                (Some(&receivers[number]), (number == 0).then_some(0))
            } else {
                (None, Some(number))
            };
            loop {
                let socket = socket.unwrap_or_else(|| &windows[number].socket);
                let received = calls.receive(socket)?;
                count += received as u64;
                if let Some(window) = window {
                    calls.send(&windows[window].socket, received)?;
                }
                if received < BATCH {
                    break;
                }
            }
            if let Some(window) = window {
                windows[window].last = now;
            }
        }
        for window in &mut windows {
            if now.duration_since(window.last) > LOST_AFTER {
                window.last = now;
                calls.send(&window.socket, in_flight)?;
            }
        }
        if let Some(figure) = stopwatch.look(count)? {
            return Ok(figure);
        }
    }
}

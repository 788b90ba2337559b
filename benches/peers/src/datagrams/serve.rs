//! The servers: ours in both styles, and loops without a library.

use std::{
    array,
    io::{IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket},
    os::fd::AsRawFd as _,
};

use mio::{Events, Interest, Poll, Token};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use tidewire::{
    service::Workers,
    udp::{Config, DatagramRef, Handler, MulticastOptions, Server, ServerConfig, Session, Socket},
};

use super::load::BUFFER_BYTES;

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Rival {
    /// Ours, handlers that borrow each datagram.
    TidewireHandlers,
    /// Ours, the plain loop: receive, reply.
    Tidewire,
    /// No library: a blocking loop of `recvmmsg` and `sendmmsg`.
    Floor,
    /// No library: epoll, and a call for each datagram.
    Single,
}

/// Options of `serve-datagrams`.
#[derive(clap::Args)]
pub(crate) struct Options {
    rival: Rival,
    /// Port on loopback.
    #[arg(long)]
    port: u16,
    /// Send to this group instead of back.
    #[arg(long)]
    multicast: Option<SocketAddrV4>,
}

/// Serves until killed.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match options.rival {
        Rival::TidewireHandlers | Rival::Tidewire => ours(options),
        Rival::Floor => floor(options),
        Rival::Single => single(options),
    }
}

/// Who waits for the server asks by TCP.
fn ready(options: &Options) -> anyhow::Result<TcpListener> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?)
}

struct Echo {
    to: Option<SocketAddr>,
}

impl Handler for Echo {
    fn received(&mut self, session: &mut Session<'_>, datagram: DatagramRef<'_>) {
        let sent = match self.to {
            None => session.reply(datagram.payload),
            Some(to) => session.send_to(datagram.payload, to),
        };
        sent.ok();
    }
}

fn ours(options: &Options) -> anyhow::Result<()> {
    let to = options.multicast.map(SocketAddr::from);
    let socket = Config::default()
        .receive_buffer_bytes(BUFFER_BYTES)
        .multicast(MulticastOptions::default().interface("lo"));
    let address = (Ipv4Addr::LOCALHOST, options.port).into();
    let config = ServerConfig::new(address)
        .workers(Workers::Pool)
        .socket(socket);
    let server = match options.rival {
        Rival::Tidewire => Server::new(config, move |mut socket: Socket| async move {
            while let Ok(Some(datagram)) = socket.recv().await {
                let sent = match to {
                    None => socket.reply(&datagram.origin, &datagram.payload).await,
                    Some(to) => socket.send_to(&datagram.payload, to).await,
                };
                sent.ok();
            }
        }),
        _ => Server::handlers(config, move |_| Echo { to }),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let _running = server.start()?;
        let _ready = ready(options)?;
        std::future::pending().await
    })
}

/// A socket of the system that holds as much as it may.
fn bind(options: &Options) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, options.port))?;
    let options = socket2::SockRef::from(&socket);
    options.set_recv_buffer_size(BUFFER_BYTES)?;
    options.set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
    Ok(socket)
}

/// Datagrams of a call.
const BATCH: usize = 64;

fn floor(options: &Options) -> anyhow::Result<()> {
    let socket = bind(options)?;
    let _ready = ready(options)?;
    let fd = socket.as_raw_fd();
    let to = options.multicast.map(SockaddrIn::from);
    let mut bytes = vec![0; BATCH * 2048];
    let mut received = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut sent = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut lengths = [0; BATCH];
    let mut addresses = [None; BATCH];
    loop {
        let mut count = 0;
        {
            let mut chunks = bytes.chunks_mut(2048);
            let mut slices: [_; BATCH] =
                array::from_fn(|_| [IoSliceMut::new(chunks.next().unwrap_or_default())]);
            let flags = MsgFlags::MSG_WAITFORONE;
            for message in recvmmsg(fd, &mut received, slices.iter_mut(), flags, None)? {
                lengths[count] = message.bytes;
                addresses[count] = to.or(message.address);
                count += 1;
            }
        }
        let mut chunks = bytes.chunks(2048);
        let slices: [_; BATCH] = array::from_fn(|index| {
            let chunk = chunks.next().unwrap_or_default();
            [IoSlice::new(&chunk[..lengths[index]])]
        });
        let mut at = 0;
        while at < count {
            let flags = MsgFlags::empty();
            let (slices, addresses) = (&slices[at..count], &addresses[at..count]);
            at += sendmmsg(fd, &mut sent, slices, addresses, [], flags)?.count();
        }
    }
}

fn single(options: &Options) -> anyhow::Result<()> {
    let socket = bind(options)?;
    let _ready = ready(options)?;
    socket.set_nonblocking(true)?;
    let mut socket = mio::net::UdpSocket::from_std(socket);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    poll.registry()
        .register(&mut socket, Token(0), Interest::READABLE)?;
    let to = options.multicast.map(SocketAddr::from);
    let mut buffer = [0; 2048];
    loop {
        poll.poll(&mut events, None)?;
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(&buffer[..len], to.unwrap_or(from))?;
        }
    }
}

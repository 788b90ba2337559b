//! From an address to a connection. Of a host name: resolve it, and try all of its addresses with a short
//! stagger ("happy eyeballs", RFC 8305), so that one that is dead costs a quarter of a second
//! instead of the whole deadline.

use std::{
    future::poll_fn,
    io,
    net::{Ipv6Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    time::sleep,
};

use super::{
    SocketOptions,
    address::{Address, UnixAddress},
};
use crate::socket::Socket;

/// How long an attempt may go on alone: RFC 8305 section 5, Connection Attempt Delay.
const STAGGER: Duration = Duration::from_millis(250);

/// How many addresses of a name are tried.
const ADDRESSES_MAX: usize = 16;

/// Connects to an address that needs no resolving.
///
/// # Cancel safety
/// Cancel safe: when dropped, the attempt is given up.
pub(crate) async fn connect_address(address: &Address) -> io::Result<Socket> {
    match address {
        Address::Ip(address) => connect_to(vec![*address]).await.map(Socket::from),
        Address::Unix(name) => connect_unix(name).await,
    }
}

#[cfg(unix)]
async fn connect_unix(name: &UnixAddress) -> io::Result<Socket> {
    let stream = tokio::net::UnixStream::connect(name.for_system()?).await?;
    Ok(stream.into())
}

#[cfg(not(unix))]
#[expect(
    clippy::unused_async,
    reason = "the same signature as with Unix sockets"
)]
async fn connect_unix(_name: &UnixAddress) -> io::Result<Socket> {
    Err(super::address::unsupported())
}

/// Connects to one of the addresses of `host`.
///
/// # Cancel safety
/// Cancel safe: when dropped, all attempts are given up.
pub(crate) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    connect_to(resolve(host, port).await?).await
}

/// The addresses of `host`, in the order in which to try them.
///
/// # Cancel safety
/// Cancel safe.
pub(crate) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = lookup_host((without_idle_zone(host), port)).await?;
    Ok(alternate(found.collect()))
}

/// The system takes a zone for link-local addresses only, and others need none.
fn without_idle_zone(host: &str) -> &str {
    let Some((address, _zone)) = host.split_once('%') else {
        return host;
    };
    match address.parse::<Ipv6Addr>() {
        Ok(parsed) if !parsed.is_unicast_link_local() => address,
        Ok(_) | Err(_) => host,
    }
}

/// Connects to one of `addresses`, which are tried in order.
///
/// # Cancel safety
/// Cancel safe: when dropped, all attempts are given up.
pub(crate) async fn connect_to(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    connect_with(addresses, &SocketOptions::default()).await
}

/// As [`connect_to`], with these options.
pub(crate) async fn connect_with(
    addresses: Vec<SocketAddr>,
    options: &SocketOptions,
) -> io::Result<TcpStream> {
    let stream = race(addresses, |address| attempt(address, options)).await?;
    options.apply(&stream)?;
    Ok(stream)
}

async fn attempt(address: SocketAddr, options: &SocketOptions) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    options.apply_buffers(&SockRef::from(&socket))?;
    socket.connect(address).await
}

/// The first of the system's order, then the families by turns (RFC 8305 section 4).
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else {
        return addresses;
    };
    let is_ipv6 = first.is_ipv6();
    let (same, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == is_ipv6);
    let mut other = other.into_iter();
    let mut out = Vec::new();
    for address in same {
        out.push(address);
        out.extend(other.next());
    }
    out.extend(other);
    out.truncate(ADDRESSES_MAX);
    out
}

/// Starts an attempt per address, the next one when the last has gone on for [`STAGGER`] or any
/// has failed. The first that succeeds wins, the others are dropped. If all fail, the error is
/// that of the last.
async fn race<T, F: Future<Output = io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T> {
    let mut waiting = addresses.into_iter();
    let mut attempts: Vec<Pin<Box<F>>> = Vec::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        match waiting.next() {
            Some(address) => attempts.push(Box::pin(connect(address))),
            None if attempts.is_empty() => return Err(failure),
            None => {}
        }
        let ended = tokio::select! {
            biased;
            ended = poll_fn(|cx| poll_any(&mut attempts, cx)) => ended,
            () = sleep(STAGGER), if waiting.len() > 0 => continue,
        };
        match ended {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
}

/// The result of any attempt that has ended, which is removed.
fn poll_any<F: Future>(attempts: &mut Vec<Pin<Box<F>>>, cx: &mut Context<'_>) -> Poll<F::Output> {
    for index in 0..attempts.len() {
        if let Poll::Ready(output) = attempts[index].as_mut().poll(cx) {
            drop(attempts.remove(index));
            return Poll::Ready(output);
        }
    }
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    fn address(number: u16) -> SocketAddr {
        ([192, 0, 2, 1], number).into()
    }

    /// Address `n` ends as the `n`th outcome says: after so many milliseconds, well or not.
    /// Gives the winner or the port in the error, when it was decided, and when each started.
    async fn run(outcomes: &[(u64, bool)]) -> (Result<u16, String>, u128, Vec<u128>) {
        let start = Instant::now();
        let started = Mutex::new(Vec::new());
        let addresses = (0..u16::try_from(outcomes.len()).unwrap()).map(address);
        let result = race(addresses.collect(), |address| {
            started.lock().unwrap().push(start.elapsed().as_millis());
            let (within, works) = outcomes[usize::from(address.port())];
            async move {
                sleep(Duration::from_millis(within)).await;
                if works {
                    Ok(address.port())
                } else {
                    Err(io::Error::other(address.port().to_string()))
                }
            }
        });
        let result = result.await.map_err(|error| error.to_string());
        let decided = start.elapsed().as_millis();
        (result, decided, started.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_tried_with_a_stagger_and_the_first_that_answers_wins() {
        const NEVER: u64 = 1_000_000;
        let error = |port: &str| Err(port.to_owned());
        for (outcomes, expected) in [
            // The first is quick: nothing else is started.
            (&[(100, true), (0, true)][..], (Ok(0), 100, vec![0])),
            // A dead first address costs the stagger, not the deadline.
            (&[(NEVER, true), (10, true)], (Ok(1), 260, vec![0, 250])),
            (
                &[(NEVER, true), (NEVER, true), (10, true)],
                (Ok(2), 510, vec![0, 250, 500]),
            ),
            // A slow first one may still win.
            (&[(300, true), (100, true)], (Ok(0), 300, vec![0, 250])),
            // A refused one makes the next start at once.
            (&[(10, false), (10, true)], (Ok(1), 20, vec![0, 10])),
            (&[(10, false), (20, false)], (error("1"), 30, vec![0, 10])),
            // The last to fail is told, and waited for.
            (
                &[(900, false), (10, false)],
                (error("0"), 900, vec![0, 250]),
            ),
            (&[], (error("the name has no address"), 0, vec![])),
        ] {
            assert_eq!(run(outcomes).await, expected, "{outcomes:?}");
        }
    }

    #[test]
    fn a_zone_goes_with_link_local_addresses() {
        for (host, expected) in [
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("febf::1%2", "febf::1%2"),
            ("::1%lo", "::1"),
            ("2001:db8::1%eth0", "2001:db8::1"),
            ("::1", "::1"),
            ("a%b", "a%b"),
            ("example.com", "example.com"),
        ] {
            assert_eq!(without_idle_zone(host), expected, "{host}");
        }
    }

    #[test]
    fn families_take_turns_and_their_number_is_bounded() {
        let v6 = |number| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], number));
        assert_eq!(
            alternate(vec![v6(1), v6(2), v6(3), address(4), address(5)]),
            [v6(1), address(4), v6(2), address(5), v6(3)]
        );
        assert_eq!(
            alternate(vec![address(4), v6(1), v6(2)]),
            [address(4), v6(1), v6(2)]
        );
        assert_eq!(alternate(vec![]), []);
        assert_eq!(alternate((0..99).map(address).collect()).len(), 16);
    }
}

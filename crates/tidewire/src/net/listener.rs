//! Bind and accept, within limits.
//!
//! In: an address. Out: accepted TCP streams with a [`Permit`] each, which counts the
//! connection until it is dropped. Running out of file descriptors slows accepting down and
//! never spins.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tidewire_proto::proxy::Network;
use tokio::net::{TcpListener, TcpStream};

/// Waiting connections the system may hold for us.
const BACKLOG: i32 = 4096;

/// How long to wait after the system refused to accept for lack of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds `count` listeners to one address. With several, the system spreads connections
/// over them (`SO_REUSEPORT`). Port 0 picks a port, the same for all.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    // Without SO_REUSEPORT first: a port that another program listens on must be an error even
    // if that program would share it.
    let first = bind_one(address, false)?;
    if count <= 1 {
        return Ok(vec![first]);
    }
    let address = first.local_addr()?;
    drop(first);
    (0..count).map(|_| bind_one(address, true)).collect()
}

fn bind_one(address: SocketAddr, share: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(share)?;
    #[cfg(not(unix))]
    let _ = share;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Bounds what the system holds of every connection that is accepted from now on: they inherit the
/// listener's options. A system without them goes by its own bounds, which costs accuracy only.
pub(crate) fn bound_sending(
    listener: &std::net::TcpListener,
    unsent_bytes_max: Option<u32>,
    unacknowledged_within: Option<Duration>,
) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let socket = socket2::SockRef::from(listener);
        let refused = |error| tracing::debug!(%error, "the system keeps its own bounds of sending");
        if let Some(bytes) = unsent_bytes_max {
            socket.set_tcp_notsent_lowat(bytes).unwrap_or_else(refused);
        }
        if unacknowledged_within.is_some() {
            socket
                .set_tcp_user_timeout(unacknowledged_within)
                .unwrap_or_else(refused);
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (listener, unsent_bytes_max, unacknowledged_within);
}

/// Counts connections, in all and per address.
#[derive(Debug)]
pub(crate) struct Admission {
    connections_max: usize,
    per_ip_max: usize,
    /// Balancers: their own addresses do not count, those they tell do.
    uncounted: Vec<Network>,
    /// Of this server.
    connections: Arc<AtomicUsize>,
    /// Of all servers for which the limits hold together.
    counts: ConnectionCounts,
}

/// Counts of connections, in all and per address, to which limits are applied. Servers that
/// [share](crate::ws::Server::count_with) one have their limits together. Clones are one count.
#[derive(Clone, Debug, Default)]
pub struct ConnectionCounts(Arc<Counts>);

/// What there is, whatever the limits were when it came.
#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    per_ip: Mutex<HashMap<IpAddr, usize>>,
}

/// A counted connection.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    /// Set when connections are counted per address.
    ip: Option<IpAddr>,
}

impl Admission {
    /// Limits for what is in `counts`; `usize::MAX` for none. Addresses in `uncounted` have no limit of
    /// their own.
    pub(crate) fn new(
        connections_max: usize,
        per_ip_max: usize,
        uncounted: &[Network],
        counts: ConnectionCounts,
    ) -> Arc<Self> {
        Arc::new(Self {
            connections_max,
            per_ip_max,
            uncounted: uncounted.to_vec(),
            connections: Arc::default(),
            counts,
        })
    }

    /// Other limits for what comes; what there is counts for them, and per address if it did before.
    pub(crate) fn with_limits(
        &self,
        connections_max: usize,
        per_ip_max: usize,
        uncounted: &[Network],
    ) -> Arc<Self> {
        Arc::new(Self {
            connections_max,
            per_ip_max,
            uncounted: uncounted.to_vec(),
            connections: Arc::clone(&self.connections),
            counts: self.counts.clone(),
        })
    }

    /// Live connections of this server.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Takes a place for a connection from `ip`, if there is one.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr) -> Option<Permit> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let count = self.counts.0.connections.fetch_add(1, Ordering::Relaxed);
        // From here on dropping the permit gives the place back.
        let mut permit = Permit {
            admission: Arc::clone(self),
            ip: None,
        };
        if count >= self.connections_max {
            return None;
        }
        let counts = !self.uncounted.iter().any(|network| network.contains(ip));
        (!counts || permit.count_from(ip)).then_some(permit)
    }
}

impl Permit {
    /// Counts a connection that is not counted by address yet, if `ip` has a place left.
    pub(crate) fn count_from(&mut self, ip: IpAddr) -> bool {
        let per_ip_max = self.admission.per_ip_max;
        if per_ip_max == usize::MAX || self.ip.is_some() {
            return true;
        }
        let ip = ip.to_canonical();
        let mut per_ip = self
            .admission
            .counts
            .0
            .per_ip
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Zero connections are no entry: the table must not grow by refusals.
        if per_ip.get(&ip).copied().unwrap_or(0) >= per_ip_max {
            return false;
        }
        *per_ip.entry(ip).or_default() += 1;
        drop(per_ip);
        self.ip = Some(ip);
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let counts = &self.admission.counts.0;
        self.admission.connections.fetch_sub(1, Ordering::Relaxed);
        counts.connections.fetch_sub(1, Ordering::Relaxed);
        let Some(ip) = self.ip else { return };
        let mut per_ip = counts.per_ip.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = per_ip.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                per_ip.remove(&ip);
            }
        }
    }
}

/// The next connection that is admitted, by the limits as they are when it comes. One above them gets
/// 503 and is dropped.
///
/// Cancel safe.
pub(crate) async fn accept(
    listener: &TcpListener,
    admission: impl Fn() -> Arc<Admission>,
) -> (TcpStream, SocketAddr, Permit) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                if let Some(permit) = admission().admit(address.ip()) {
                    // A message is written whole; waiting for more to send only delays it.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%address, %error, "TCP_NODELAY could not be set");
                    }
                    return (stream, address, permit);
                }
                tracing::debug!(%address, "connection refused: limit reached");
                // The socket is new, its buffer empty: a few bytes fit or the peer is gone.
                if stream.try_write(BUSY).is_err() {
                    tracing::trace!(%address, "refused peer did not take the answer");
                }
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n";

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_and_given_back_in_all_and_per_address() {
        let admission = Admission::new(3, 2, &[], ConnectionCounts::default());
        let (a, b) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = admission.admit(a).expect("room");
        let _second = admission.admit(a).expect("room");
        assert!(admission.admit(a).is_none(), "two per address");
        let _third = admission.admit(b).expect("room");
        assert!(admission.admit(b).is_none(), "three in all");
        drop(first);
        assert_eq!(admission.connections(), 2);
        assert!(admission.admit(a).is_some());
        assert_eq!(admission.counts.0.per_ip.lock().unwrap().len(), 2);
    }

    #[test]
    fn what_came_under_other_limits_counts_for_the_new_ones() {
        let wide = Admission::new(9, 9, &[], ConnectionCounts::default());
        let (a, b) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = wide.admit(a).expect("room");
        let narrow = wide.with_limits(2, 1, &[]);
        assert!(narrow.admit(a).is_none(), "one per address");
        let _second = narrow.admit(b).expect("room");
        assert!(narrow.admit(b).is_none(), "two in all");
        drop(first);
        assert_eq!((wide.connections(), narrow.connections()), (1, 1));
        assert!(narrow.admit(a).is_some());
    }

    #[test]
    fn servers_that_share_their_counts_have_their_limits_together() {
        let counts = ConnectionCounts::default();
        let one = Admission::new(3, 2, &[], counts.clone());
        let two = Admission::new(3, 2, &[], counts);
        let (a, b) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = one.admit(a).expect("room");
        let _second = two.admit(a).expect("room");
        assert!(
            one.admit(a).is_none() && two.admit(a).is_none(),
            "per address"
        );
        let _third = two.with_limits(3, 9, &[]).admit(b).expect("room");
        assert!(one.admit(b).is_none() && two.admit(b).is_none(), "in all");
        assert_eq!(
            (one.connections(), two.connections()),
            (1, 2),
            "each its own"
        );
        drop(first);
        assert!(two.admit(a).is_some());
    }

    #[test]
    fn a_connection_of_a_balancer_counts_for_the_address_it_tells() {
        let (balancer, client) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
        let admission = Admission::new(9, 1, &[balancer.into()], ConnectionCounts::default());
        let mut permits: Vec<_> = (0..3).map(|_| admission.admit(balancer).unwrap()).collect();
        assert!(permits[0].count_from(client));
        assert!(!permits[1].count_from(client), "one per address");
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        assert!(!permits[1].count_from(mapped), "by whatever spelling");
        permits.remove(0);
        assert!(permits[0].count_from(mapped));
        drop(permits);
        assert!(admission.counts.0.per_ip.lock().unwrap().is_empty());
    }

    #[test]
    fn a_port_in_use_is_an_error_even_when_it_could_be_shared() {
        let listeners = bind(([127, 0, 0, 1], 0).into(), 2).unwrap();
        let address = listeners[0].local_addr().unwrap();
        assert_eq!(listeners[1].local_addr().unwrap(), address);
        assert_eq!(
            bind(address, 2).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
    }
}

//! How many connections there may be, in all and per address.
//!
//! In: addresses of clients. Out: a [`Permit`] for each that has a place, which counts the connection until it
//! is dropped. Invariant: refusals leave nothing behind.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tidewire_proto::proxy::Network;
use tokio::time::Instant;

use super::rate::{Pace, Rate};
use crate::sync::Mutex;

/// Counts connections, in all and per address.
#[derive(Debug)]
pub(crate) struct Admission {
    connections_max: usize,
    per_ip_max: usize,
    /// Balancers and proxies: their own addresses do not count, those they tell do.
    uncounted: Vec<Network>,
    /// Of this server.
    connections: Arc<AtomicUsize>,
    /// Of all servers for which the limits hold together.
    counts: ConnectionCounts,
    rate: Option<Rate>,
    /// Of this server, whatever the rate was when they came.
    pace: Arc<Pace>,
}

/// Counters of [`TurnedAway`].
#[derive(Debug, Default)]
struct TurnedAwayCounters {
    connections: AtomicU64,
    address: AtomicU64,
    rate: AtomicU64,
    late: AtomicU64,
    displaced: AtomicU64,
}

/// How many connections were turned away before they were open, by reason. Servers that
/// [share their limits](crate::service::Server::count_with) share these counters too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TurnedAway {
    /// There were as many as there may be.
    pub connections: u64,
    /// Of their address there were as many as there may be.
    pub address: u64,
    /// They came faster than they may.
    pub rate: u64,
    /// Their handshake took too long.
    pub late: u64,
    /// They made room for others, because too many were not open yet.
    pub displaced: u64,
}

/// Counts of connections, in all and per address, to which limits are applied. Servers that
/// [share](crate::service::Server::count_with) one have their limits together. Clones are one count.
#[derive(Clone, Debug, Default)]
pub struct ConnectionCounts(Arc<Counts>);

impl ConnectionCounts {
    /// Returns how many connections the servers that share these limits have turned away, by reason. It can be read before
    /// such a server is started, and after it has ended.
    pub fn turned_away(&self) -> TurnedAway {
        let counters = &self.0.turned_away;
        TurnedAway {
            connections: counters.connections.load(Ordering::Relaxed),
            address: counters.address.load(Ordering::Relaxed),
            rate: counters.rate.load(Ordering::Relaxed),
            late: counters.late.load(Ordering::Relaxed),
            displaced: counters.displaced.load(Ordering::Relaxed),
        }
    }
}

/// What there is, whatever the limits were when it came.
#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    per_ip: Mutex<HashMap<IpAddr, usize>>,
    turned_away: TurnedAwayCounters,
}

/// Returns the address that stands for a client in limits per address: of IPv6 the network of its first 64 bits, because
/// whoever has one address has them all; of link-local ones (`fe80::/10`), where they are everybody's, and of IPv4 the
/// address itself.
///
/// ```
/// use tidewire::net::limited_as;
///
/// let ip = |text: &str| text.parse().unwrap();
/// assert_eq!(limited_as(ip("2001:db8::7")), limited_as(ip("2001:db8::dead:beef")));
/// assert_ne!(limited_as(ip("192.0.2.1")), limited_as(ip("192.0.2.2")));
/// ```
pub fn limited_as(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if !ip.is_unicast_link_local() => {
            Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into()
        }
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    }
}

/// Which limit leaves no place for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exceeded {
    /// That of all connections.
    Connections,
    /// That of one address.
    Address,
    /// The rate at which they may come.
    Rate,
}

/// A counted connection.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    /// Set when connections are counted per address.
    place: Option<AddressPlace>,
}

/// A place of one address, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct AddressPlace {
    counts: ConnectionCounts,
    ip: IpAddr,
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
            rate: None,
            pace: Arc::default(),
        })
    }

    /// The same with a bound of how often a connection may come.
    pub(crate) fn with_rate(self: Arc<Self>, rate: Option<Rate>) -> Arc<Self> {
        Arc::new(Self {
            connections_max: self.connections_max,
            per_ip_max: self.per_ip_max,
            uncounted: self.uncounted.clone(),
            connections: Arc::clone(&self.connections),
            counts: self.counts.clone(),
            rate,
            pace: Arc::clone(&self.pace),
        })
    }

    /// How many connections were turned away, by reason.
    pub(crate) fn turned_away(&self) -> TurnedAway {
        self.counts.turned_away()
    }

    /// Counts an opening that took too long.
    pub(crate) fn count_late(&self) {
        let counters = &self.counts.0.turned_away;
        counters.late.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an opening that made room for another one.
    pub(crate) fn count_displaced(&self) {
        let counters = &self.counts.0.turned_away;
        counters.displaced.fetch_add(1, Ordering::Relaxed);
    }

    fn refuse(&self, exceeded: Exceeded) -> Exceeded {
        let counters = &self.counts.0.turned_away;
        let count = match exceeded {
            Exceeded::Connections => &counters.connections,
            Exceeded::Address => &counters.address,
            Exceeded::Rate => &counters.rate,
        };
        count.fetch_add(1, Ordering::Relaxed);
        exceeded
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
            rate: self.rate,
            pace: Arc::clone(&self.pace),
        })
    }

    /// Live connections of this server.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Takes a place for a connection from `ip`, if there is one. `None`: from a Unix socket, whose clients have no
    /// address that could have a limit.
    pub(crate) fn admit(
        self: &Arc<Self>,
        ip: impl Into<Option<IpAddr>>,
    ) -> Result<Permit, Exceeded> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let count = self.counts.0.connections.fetch_add(1, Ordering::Relaxed);
        // From here on dropping the permit gives the place back.
        let mut permit = Permit {
            admission: Arc::clone(self),
            place: None,
        };
        if count >= self.connections_max {
            return Err(self.refuse(Exceeded::Connections));
        }
        if let Some(rate) = self.rate
            && !self.pace.admit(rate, Instant::now())
        {
            return Err(self.refuse(Exceeded::Rate));
        }
        if let Some(ip) = ip.into()
            && !self.uncounted.iter().any(|network| network.contains(ip))
        {
            permit.count_from(ip)?;
        }
        Ok(permit)
    }

    /// Takes a place of `ip` alone, if there is one: for an address that is known only after its connection was
    /// admitted. `None` when addresses are not limited.
    pub(crate) fn place_of(&self, ip: IpAddr) -> Result<Option<AddressPlace>, Exceeded> {
        if self.per_ip_max == usize::MAX {
            return Ok(None);
        }
        let ip = limited_as(ip);
        let counts = &self.counts.0;
        let mut per_ip = counts.per_ip.lock();
        // Zero connections are no entry: the table must not grow by refusals.
        if per_ip.get(&ip).copied().unwrap_or(0) >= self.per_ip_max {
            return Err(self.refuse(Exceeded::Address));
        }
        *per_ip.entry(ip).or_default() += 1;
        drop(per_ip);
        Ok(Some(AddressPlace {
            counts: self.counts.clone(),
            ip,
        }))
    }
}

impl Permit {
    /// Counts a connection that is not counted by address yet, if `ip` has a place left.
    pub(crate) fn count_from(&mut self, ip: IpAddr) -> Result<(), Exceeded> {
        if self.place.is_none() {
            self.place = self.admission.place_of(ip)?;
        }
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let counts = &self.admission.counts.0;
        self.admission.connections.fetch_sub(1, Ordering::Relaxed);
        counts.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let counts = &self.counts.0;
        let mut per_ip = counts.per_ip.lock();
        if let Some(count) = per_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                per_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the kinds of addresses that a client may have: IPv4, the same mapped into IPv6, IPv6 of one network and of
    /// another, link-local, loopback.
    #[test]
    fn all_addresses_of_a_clients_network_have_one_limit() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let admission = Admission::new(usize::MAX, 1, &[], ConnectionCounts::default());
        for (first, second, is_one) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::2", true),
            ("2001:db8::1", "2001:db8:0:0:ffff::", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("fe80::1", "fe80::2", false),
            ("::1", "2001:db8::1", false),
            ("::1", "::1", true),
        ] {
            let _place = admission.admit(ip(first)).unwrap();
            let next = admission.admit(ip(second));
            assert_eq!(next.is_err(), is_one, "{first} and {second}");
        }
        assert!(admission.counts.0.per_ip.lock().is_empty());
    }

    #[test]
    fn a_place_is_taken_and_given_back_in_all_and_per_address() {
        let admission = Admission::new(3, 2, &[], ConnectionCounts::default());
        let (a, b) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = admission.admit(a).expect("room");
        let _second = admission.admit(a).expect("room");
        assert_eq!(admission.admit(a).err(), Some(Exceeded::Address));
        let _third = admission.admit(b).expect("room");
        assert_eq!(admission.admit(b).err(), Some(Exceeded::Connections));
        drop(first);
        assert_eq!(admission.connections(), 2);
        assert!(admission.admit(a).is_ok());
        assert_eq!(admission.counts.0.per_ip.lock().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_is_admitted_at_the_rate_and_who_is_refused_is_counted() {
        let rate = Rate::new(10, 20);
        let admission = Admission::new(usize::MAX, usize::MAX, &[], ConnectionCounts::default());
        let admission = admission.with_rate(Some(rate));
        let admitted = |admission: &Arc<Admission>| {
            let tries = (0..100).map(|_| admission.admit(None));
            tries.flatten().count()
        };
        assert_eq!(admitted(&admission), 20);
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        let reloaded = admission.with_limits(usize::MAX, usize::MAX, &[]);
        assert_eq!(admitted(&reloaded), 10, "a reload gives nothing away");
        assert_eq!(admission.turned_away().rate, 80 + 90);
        assert_eq!(admission.connections(), 0);
        assert_eq!(admitted(&admission.with_rate(None)), 100);
    }

    #[test]
    fn what_came_under_other_limits_counts_for_the_new_ones() {
        let wide = Admission::new(9, 9, &[], ConnectionCounts::default());
        let (a, b) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = wide.admit(a).expect("room");
        let narrow = wide.with_limits(2, 1, &[]);
        assert!(narrow.admit(a).is_err(), "one per address");
        let _second = narrow.admit(b).expect("room");
        assert!(narrow.admit(b).is_err(), "two in all");
        drop(first);
        assert_eq!((wide.connections(), narrow.connections()), (1, 1));
        assert!(narrow.admit(a).is_ok());
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
            one.admit(a).is_err() && two.admit(a).is_err(),
            "per address"
        );
        let _third = two.with_limits(3, 9, &[]).admit(b).expect("room");
        assert!(one.admit(b).is_err() && two.admit(b).is_err(), "in all");
        assert_eq!(
            (one.connections(), two.connections()),
            (1, 2),
            "each its own"
        );
        drop(first);
        assert!(two.admit(a).is_ok());
    }

    #[test]
    fn a_connection_of_a_balancer_counts_for_the_address_it_tells() {
        let (balancer, client) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
        let admission = Admission::new(9, 1, &[balancer.into()], ConnectionCounts::default());
        let mut permits: Vec<_> = (0..3).map(|_| admission.admit(balancer).unwrap()).collect();
        permits[0].count_from(client).expect("room");
        assert!(permits[1].count_from(client).is_err(), "one per address");
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        assert!(
            permits[1].count_from(mapped).is_err(),
            "by whatever spelling"
        );
        permits.remove(0);
        permits[0].count_from(mapped).expect("room");
        drop(permits);
        assert!(admission.counts.0.per_ip.lock().is_empty());
    }

    #[test]
    fn a_request_of_a_proxy_counts_for_its_client_beside_the_connection() {
        let (proxy, client) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
        let admission = Admission::new(9, 1, &[proxy.into()], ConnectionCounts::default());
        let direct = admission.admit(client).expect("room");
        let _proxied = admission.admit(proxy).expect("room");
        assert_eq!(admission.place_of(client).err(), Some(Exceeded::Address));
        drop(direct);
        let place = admission.place_of(client).expect("room").expect("a limit");
        assert_eq!(admission.admit(client).err(), Some(Exceeded::Address));
        drop(place);
        assert!(admission.counts.0.per_ip.lock().is_empty());
        let unlimited = admission.with_limits(9, usize::MAX, &[]);
        assert!(unlimited.place_of(client).expect("room").is_none());
    }
}

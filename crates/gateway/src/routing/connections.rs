//! [`ConnectionCounts`]: how many connections an endpoint has.
//!
//! In: connections as they come. Out: an [`Admitted`] that counts until it is dropped, or an HTTP refusal.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use parking_lot::Mutex;

use tidewire::{net::limited_as, ws::Refusal};

/// Counts connections, those of an endpoint or all to backends, in all and per client address.
#[derive(Debug)]
pub(crate) struct ConnectionCounts {
    counts: Mutex<Counts>,
    /// The words for a client when there is no place, or none for its address.
    full: &'static str,
    address_full: &'static str,
}

impl Default for ConnectionCounts {
    fn default() -> Self {
        Self {
            counts: Mutex::default(),
            full: "the endpoint has too many connections",
            address_full: "too many connections from this address",
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    /// Only addresses that have a connection.
    by_ip: HashMap<IpAddr, usize>,
}

/// A counted connection.
#[derive(Debug)]
pub(crate) struct Admitted {
    counts: Arc<ConnectionCounts>,
    ip: Option<IpAddr>,
    /// Another place that it has.
    also: Option<Box<Self>>,
}

impl ConnectionCounts {
    /// Of all connections to backends.
    pub(crate) fn of_backends() -> Self {
        Self {
            counts: Mutex::default(),
            full: "the gateway has too many backend connections",
            address_full: "too many backend connections for this address",
        }
    }

    /// A place for a connection from `ip`, or the refusal.
    pub(crate) fn take(
        self: &Arc<Self>,
        ip: Option<IpAddr>,
        all_max: usize,
        per_ip_max: usize,
    ) -> Result<Admitted, Refusal> {
        let mut counts = self.counts.lock();
        if counts.all >= all_max {
            return Err(busy(503, self.full));
        }
        let counted = ip.filter(|_| per_ip_max != usize::MAX).map(limited_as);
        if let Some(ip) = counted {
            let count = counts.by_ip.entry(ip).or_default();
            if *count >= per_ip_max {
                return Err(busy(429, self.address_full));
            }
            *count += 1;
        }
        counts.all += 1;
        Ok(Admitted {
            counts: Arc::clone(self),
            ip: counted,
            also: None,
        })
    }

    /// Connections now.
    pub(crate) fn count(&self) -> usize {
        self.counts.lock().all
    }
}

impl Admitted {
    /// Both places at once.
    pub(crate) fn with(mut self, other: Self) -> Self {
        self.also = Some(Box::new(other));
        self
    }
}

fn busy(status: u16, reason: &str) -> Refusal {
    Refusal::new(status, reason).header("Retry-After", "5")
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.counts.counts.lock();
        counts.all = counts.all.saturating_sub(1);
        if let Some(ip) = self.ip
            && let Entry::Occupied(mut count) = counts.by_ip.entry(ip)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let counts = Arc::new(ConnectionCounts::default());
        let one = Some("192.0.2.1".parse().unwrap());
        let two = Some("192.0.2.2".parse().unwrap());
        let network = ["2001:db8::1", "2001:db8::2"].map(|ip| Some(ip.parse().unwrap()));
        let of_network = counts.take(network[0], 2, 1).unwrap();
        assert_eq!(counts.take(network[1], 2, 1).unwrap_err().status, 429);
        drop(of_network);
        let first = counts.take(one, 2, 1).unwrap();
        assert_eq!(counts.take(one, 2, 1).unwrap_err().status, 429);
        let second = counts.take(two, 2, 1).unwrap();
        assert_eq!(counts.take(None, 2, 1).unwrap_err().status, 503);
        drop(first);
        drop(counts.take(one, 2, 1).unwrap());
        drop(second);
        assert_eq!(counts.count(), 0);
        assert!(counts.counts.lock().by_ip.is_empty());
    }
}

//! Whether a client may use an endpoint: page, credentials, numbers.
//!
//! In: a request and an endpoint. Out: an [`Admitted`] that counts until it is dropped, or an HTTP refusal.
//! Invariant: no upstream is opened for a client that was not admitted.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tidewire::{proto::handshake::RequestHead, ws::Refusal};
use tidewire_auth::{Authenticator, Headers};

use crate::{
    gateway::Visitor,
    request,
    settings::{Endpoint, Origins},
};

/// Checks everything, and counts the connection.
pub(crate) fn admit(
    visitor: &Visitor,
    endpoint: &Endpoint,
    places: &Arc<Places>,
) -> Result<Admitted, Refusal> {
    let head = &visitor.request.head;
    check_origin(head, visitor.client.secure, &endpoint.origins)?;
    if let Some(auth) = &endpoint.auth {
        check_auth(head, auth)?;
    }
    let per_ip_max = endpoint.per_client_max;
    places.take(visitor.client.ip, endpoint.connections_max, per_ip_max)
}

/// Checks the page's origin (RFC 6455 section 10.2).
fn check_origin(head: &RequestHead, secure: bool, origins: &Origins) -> Result<(), Refusal> {
    if head.values("origin").next().is_none() {
        return Ok(()); // no browser
    }
    let allowed = match (origins, request::header(head, "origin")) {
        (Origins::Any, _) => true,
        (Origins::Same, Some(origin)) => is_same(origin, head, secure),
        (Origins::List(list), Some(origin)) => list
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(origin)),
        (Origins::Same | Origins::List(_), None) => false,
    };
    if allowed {
        return Ok(());
    }
    Err(Refusal::new(403, "this origin may not connect"))
}

fn is_same(origin: &str, head: &RequestHead, secure: bool) -> bool {
    let (scheme, port) = if secure {
        ("https://", ":443")
    } else {
        ("http://", ":80")
    };
    let host = request::header(head, "host").unwrap_or_default();
    let host = host.strip_suffix(port).unwrap_or(host);
    origin
        .strip_prefix(scheme)
        .is_some_and(|rest| !rest.is_empty() && rest.eq_ignore_ascii_case(host))
}

/// Checks the credentials in the request.
fn check_auth(head: &RequestHead, auth: &Authenticator) -> Result<(), Refusal> {
    auth.check(&Fields(head)).map_err(|denied| {
        tracing::debug!(%denied, "refused");
        let mut refusal = Refusal::new(401, "valid credentials are needed");
        if let Some(challenge) = auth.challenge() {
            refusal
                .headers
                .push(("WWW-Authenticate", challenge.to_owned()));
        }
        refusal
    })
}

/// A request's fields for the authenticator.
struct Fields<'a>(&'a RequestHead);

impl Headers for Fields<'_> {
    fn values<'a>(&'a self, name: &'a str) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        Box::new(self.0.values(name))
    }
}

/// Counts the connections of an endpoint, in all and per client address.
#[derive(Debug, Default)]
pub(crate) struct Places {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Only addresses that have a connection.
    by_ip: HashMap<IpAddr, usize>,
}

/// A counted connection.
#[derive(Debug)]
pub(crate) struct Admitted {
    places: Arc<Places>,
    ip: Option<IpAddr>,
}

impl Places {
    /// A place for a connection from `ip`, or the refusal.
    fn take(
        self: &Arc<Self>,
        ip: Option<IpAddr>,
        all_max: usize,
        per_ip_max: usize,
    ) -> Result<Admitted, Refusal> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= all_max {
            return Err(busy(503, "the endpoint has too many connections"));
        }
        let counted = ip.filter(|_| per_ip_max != usize::MAX);
        if let Some(ip) = counted {
            let count = taken.by_ip.entry(ip).or_default();
            if *count >= per_ip_max {
                return Err(busy(429, "too many connections from this address"));
            }
            *count += 1;
        }
        taken.all += 1;
        Ok(Admitted {
            places: Arc::clone(self),
            ip: counted,
        })
    }

    /// Connections now.
    pub(crate) fn count(&self) -> usize {
        self.taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .all
    }
}

fn busy(status: u16, reason: &str) -> Refusal {
    let mut refusal = Refusal::new(status, reason);
    refusal.headers.push(("Retry-After", "5".to_owned()));
    refusal
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut taken = self
            .places
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        if let Some(ip) = self.ip
            && let Entry::Occupied(mut count) = taken.by_ip.entry(ip)
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
    use tidewire::proto::handshake::HeadLimits;

    use super::*;

    fn head(origin: &str) -> RequestHead {
        let text = format!("GET / HTTP/1.1\r\nHost: a.example\r\n{origin}\r\n");
        RequestHead::parse(text.into(), HeadLimits::default()).unwrap()
    }

    #[test]
    fn pages_of_other_origins_are_refused_unless_listed() {
        let same = head("Origin: https://a.example\r\n");
        let other = head("Origin: https://b.example\r\n");
        let twice = head("Origin: https://a.example\r\nOrigin: https://b.example\r\n");
        let list = Origins::List(Arc::from(["https://B.example".to_owned()]));
        assert!(check_origin(&same, true, &Origins::Same).is_ok());
        assert!(check_origin(&same, false, &Origins::Same).is_err());
        assert!(check_origin(&other, true, &Origins::Same).is_err());
        assert!(check_origin(&twice, true, &Origins::Same).is_err());
        assert!(check_origin(&other, true, &list).is_ok());
        assert!(check_origin(&same, true, &list).is_err());
        assert!(check_origin(&head(""), true, &list).is_ok());
        assert!(check_origin(&twice, true, &Origins::Any).is_ok());
    }

    #[test]
    fn places_are_counted_and_given_back() {
        let places = Arc::new(Places::default());
        let one = Some("192.0.2.1".parse().unwrap());
        let two = Some("192.0.2.2".parse().unwrap());
        let first = places.take(one, 2, 1).unwrap();
        assert_eq!(places.take(one, 2, 1).unwrap_err().status, 429);
        let second = places.take(two, 2, 1).unwrap();
        assert_eq!(places.take(None, 2, 1).unwrap_err().status, 503);
        drop(first);
        drop(places.take(one, 2, 1).unwrap());
        drop(second);
        assert_eq!(places.count(), 0);
        assert!(places.taken.lock().unwrap().by_ip.is_empty());
    }
}

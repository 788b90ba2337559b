//! [`Resolver`]: from the name of a host and of a service to addresses.

use std::{fs, io, net::SocketAddr, sync::Arc};

use super::dial;

/// Resolves `host:port` and `host:service` by the system: its hosts file, its name servers, its list of services.
///
/// The addresses come in the order in which they should be tried: as the system sorts them, families by turns (RFC 8305
/// section 4), at most 16.
///
/// ```no_run
/// use tidewire::net::Resolver;
///
/// # async fn run() -> std::io::Result<()> {
/// for address in Resolver::default().resolve("example.com:https").await? {
///     println!("{address}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    /// Instead of the system's list; for tests.
    services: Option<Arc<str>>,
}

/// For systems without a list of services.
const SERVICES: &str = "ftp 21/tcp\nssh 22/tcp\ntelnet 23/tcp\nsmtp 25/tcp\nhttp 80/tcp\npop3 110/tcp\nimap2 143/tcp imap\n\
    https 443/tcp\nimaps 993/tcp\npop3s 995/tcp\nws 80/tcp\nwss 443/tcp\necho 7/tcp\ndaytime 13/tcp\n";

/// The system's list.
const SERVICES_FILE: &str = "/etc/services";

impl Resolver {
    /// Looks services up in `list`, of the form of `/etc/services`, instead of in that file.
    #[must_use]
    pub fn with_services(mut self, list: impl Into<Arc<str>>) -> Self {
        self.services = Some(list.into());
        self
    }

    /// Resolves `name`: a host, a colon, and a port or the name of a TCP service. The host is a name or an address,
    /// one of IPv6 in brackets.
    ///
    /// # Errors
    /// Those of the system; [`InvalidInput`](io::ErrorKind::InvalidInput) without a port, and
    /// [`NotFound`](io::ErrorKind::NotFound) for an unknown service or a name without addresses.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future cancels the wait. What the system has begun goes on by itself on a thread of
    /// the runtime.
    pub async fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let (host, service) = split(name)?;
        let port = match service.parse() {
            Ok(port) => port,
            Err(_no_number) => self.port_of(service).await?,
        };
        let addresses = dial::resolve(host, port).await?;
        if addresses.is_empty() {
            let message = format!("{host} has no address");
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        Ok(addresses)
    }

    /// As [`resolve`](Self::resolve), blocking the thread. Must not be called where async code runs.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    #[cfg(feature = "blocking")]
    pub fn resolve_blocking(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let (resolver, name) = (self.clone(), name.to_owned());
        crate::blocking::runtime::wait(async move { resolver.resolve(&name).await })?
    }

    async fn port_of(&self, service: &str) -> io::Result<u16> {
        let service = service.to_owned();
        let list = self.services.clone();
        let looked_up = tokio::task::spawn_blocking(move || {
            let list = list.unwrap_or_else(|| {
                // Where there is none, the well-known names will do.
                let file = fs::read_to_string(SERVICES_FILE).unwrap_or_default();
                Arc::from(file + SERVICES)
            });
            port_in(&list, &service).ok_or_else(|| {
                let message = format!("no TCP service has the name {service}");
                io::Error::new(io::ErrorKind::NotFound, message)
            })
        });
        looked_up.await.map_err(io::Error::other)?
    }
}

/// Cuts `name` into host, without brackets, and port or service.
fn split(name: &str) -> io::Result<(&str, &str)> {
    let invalid = |message: &str| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{message}, as in example.com:80 or [::1]:http"),
        )
    };
    let (host, service) = name
        .rsplit_once(':')
        .filter(|(_host, service)| !service.is_empty())
        .ok_or_else(|| invalid("expected a host, a colon and a port"))?;
    let bracketed = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let host = bracketed.unwrap_or(host);
    if host.is_empty() || (bracketed.is_none() && host.contains(':')) {
        return Err(invalid("expected a host, with brackets around one of IPv6"));
    }
    Ok((host, service))
}

/// The port of the TCP service that has this name or alias.
fn port_in(list: &str, service: &str) -> Option<u16> {
    list.lines().find_map(|line| {
        let (line, _comment) = line.split_once('#').unwrap_or((line, ""));
        let mut words = line.split_ascii_whitespace();
        let (name, port) = (words.next()?, words.next()?);
        let port = port.strip_suffix("/tcp")?.parse().ok()?;
        let is_it = name == service || words.any(|alias| alias == service);
        is_it.then_some(port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_into_host_and_service() {
        for (name, expected) in [
            ("example.com:80", Some(("example.com", "80"))),
            ("127.0.0.1:http", Some(("127.0.0.1", "http"))),
            ("[::1]:80", Some(("::1", "80"))),
            ("[fe80::1%2]:80", Some(("fe80::1%2", "80"))),
            ("::1:80", None),
            ("example.com", None),
            ("example.com:", None),
            (":80", None),
            ("[]:80", None),
            ("", None),
        ] {
            assert_eq!(split(name).ok(), expected, "{name}");
        }
    }

    #[test]
    fn services_have_names_and_aliases_and_only_tcp_counts() {
        let list =
            "# a list\nchat 1111/tcp talk gossip # words\nchat 1112/udp\ndns 53/udp\nbad x/tcp\n";
        for (service, expected) in [
            ("chat", Some(1111)),
            ("gossip", Some(1111)),
            ("words", None),
            ("dns", None),
            ("bad", None),
            ("#", None),
        ] {
            assert_eq!(port_in(list, service), expected, "{service}");
        }
        assert_eq!(port_in(SERVICES, "imap"), Some(143));
    }
}

//! Which proxy the environment names for an address: `https_proxy`, `http_proxy`,
//! `all_proxy` and `no_proxy`.
//!
//! A pure function of a look-up, since the core reads no environment. The rules are curl's:
//! for `wss://` `https_proxy` or `HTTPS_PROXY`, for `ws://` `http_proxy` in lower case only (a
//! CGI server sets `HTTP_PROXY` from the client's `Proxy:` header: "httpoxy", CVE-2016-5385),
//! then `all_proxy` or `ALL_PROXY`. The lower case name wins; an empty value is none.

use std::net::IpAddr;

use super::{Network, ProxyUrl, ProxyUrlError};
use crate::handshake::Url;

/// The proxies that an environment names, and the hosts that are reached without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyEnvironment {
    plain: Option<ProxyUrl>,
    secure: Option<ProxyUrl>,
    direct: Vec<Rule>,
}

/// A variable of the environment cannot be understood. Its value is not shown: it may hold a
/// password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// No address of a proxy.
    #[error("the environment variable {variable} names no proxy")]
    Proxy {
        /// Its name.
        variable: &'static str,
        /// The fault of the address.
        source: ProxyUrlError,
    },
    /// An entry with a wrong prefix length or port: left out it would send to the proxy what
    /// is meant to stay inside.
    #[error("expected a host, address, block or * with an optional port in no_proxy, got {0:?}")]
    NoProxy(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    Network(Network),
    /// The name and all names below it.
    Domain(String),
    /// Only the names below it.
    Below(String),
}

impl ProxyEnvironment {
    /// Reads the variables through `look_up`, which gives the value of a variable by its name.
    ///
    /// `no_proxy` (or `NO_PROXY`) is a list, separated by commas or blanks, of hosts that are
    /// reached without a proxy: `*` (all), an address, a block (`10.0.0.0/8`), a name (and all
    /// names below it), `.name` or `*.name` (only the names below it); each with a port
    /// (`name:8080`, `[::1]:8080`) for this port only. Names are not resolved to be compared.
    ///
    /// # Errors
    /// [`EnvironmentError`].
    pub fn read(look_up: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                let value = look_up(name).filter(|value| !value.trim().is_empty())?;
                Some((*name, value))
            })
        };
        let proxy = |names: &[&'static str]| {
            let Some((variable, value)) = first(names) else {
                return Ok(None);
            };
            ProxyUrl::parse(value.trim())
                .map(Some)
                .map_err(|source| EnvironmentError::Proxy { variable, source })
        };
        let direct = first(&["no_proxy", "NO_PROXY"]).map_or(Ok(Vec::new()), |(_, list)| {
            list.split([',', ' ', '\t'])
                .filter(|entry| !entry.is_empty())
                .map(Rule::parse)
                .collect()
        })?;
        Ok(Self {
            plain: proxy(&["http_proxy", "all_proxy", "ALL_PROXY"])?,
            secure: proxy(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            direct,
        })
    }

    /// The proxy for `url`; `None`: no proxy.
    pub fn proxy_for(&self, url: &Url) -> Option<&ProxyUrl> {
        let proxy = if url.is_secure() {
            self.secure.as_ref()
        } else {
            self.plain.as_ref()
        };
        proxy.filter(|_| {
            let host = url.host().trim_end_matches('.').to_ascii_lowercase();
            !self.direct.iter().any(|rule| rule.holds(&host, url.port()))
        })
    }
}

impl Rule {
    fn parse(entry: &str) -> Result<Self, EnvironmentError> {
        let wrong = || EnvironmentError::NoProxy(entry.to_owned());
        if entry == "*" {
            return Ok(Self {
                hosts: Hosts::All,
                port: None,
            });
        }
        if let Ok(network) = entry.parse()
            && network != Network::UNIX
        {
            return Ok(Self {
                hosts: Hosts::Network(network),
                port: None,
            });
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, Some(port.parse().map_err(|_| wrong())?))
            }
            _ => (entry, None),
        };
        let hosts = if let Some(address) = host.strip_prefix('[') {
            let address = address.strip_suffix(']').ok_or_else(wrong)?;
            let address: IpAddr = address.parse().map_err(|_| wrong())?;
            Hosts::Network(address.into())
        } else if let Ok(network) = host.parse()
            && network != Network::UNIX
        {
            Hosts::Network(network)
        } else if host == "*" {
            Hosts::All
        } else {
            let below = host.strip_prefix("*.").or_else(|| host.strip_prefix('.'));
            let name = below.unwrap_or(host);
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            if name.is_empty() || name.contains(['/', ':', '*']) {
                return Err(wrong());
            }
            if below.is_some() {
                Hosts::Below(name)
            } else {
                Hosts::Domain(name)
            }
        };
        Ok(Self { hosts, port })
    }

    /// `host` in lower case, IPv6 without brackets.
    fn holds(&self, host: &str, port: u16) -> bool {
        let below = |name: &str| {
            host.strip_suffix(name)
                .is_some_and(|rest| rest.ends_with('.'))
        };
        self.port.is_none_or(|only| only == port)
            && match &self.hosts {
                Hosts::All => true,
                Hosts::Network(network) => host.parse().is_ok_and(|ip| network.contains(ip)),
                Hosts::Domain(name) => host == name || below(name),
                Hosts::Below(name) => below(name),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<ProxyEnvironment, EnvironmentError> {
        ProxyEnvironment::read(|name| {
            variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    fn host(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let environment = read(variables).unwrap();
        environment
            .proxy_for(&Url::parse(url).unwrap())
            .map(|proxy| proxy.host().to_owned())
    }

    #[test]
    fn each_scheme_has_its_variables_in_their_order() {
        for (variables, ws, wss) in [
            (&[][..], None, None),
            (&[("http_proxy", "p")], Some("p"), None),
            (&[("https_proxy", "p")], None, Some("p")),
            (&[("HTTPS_PROXY", "p")], None, Some("p")),
            (
                &[("https_proxy", "p"), ("HTTPS_PROXY", "q")],
                None,
                Some("p"),
            ),
            (&[("ALL_PROXY", "p")], Some("p"), Some("p")),
            (
                &[("all_proxy", "p"), ("ALL_PROXY", "q")],
                Some("p"),
                Some("p"),
            ),
            (
                &[("http_proxy", "p"), ("ALL_PROXY", "q")],
                Some("p"),
                Some("q"),
            ),
            (
                &[("https_proxy", ""), ("ALL_PROXY", "q")],
                Some("q"),
                Some("q"),
            ),
        ] {
            assert_eq!(host(variables, "ws://a/").as_deref(), ws, "{variables:?}");
            assert_eq!(host(variables, "wss://a/").as_deref(), wss, "{variables:?}");
        }
    }

    #[test]
    fn the_variable_that_a_client_of_a_cgi_server_can_set_is_not_read() {
        assert_eq!(host(&[("HTTP_PROXY", "evil")], "ws://a/"), None);
    }

    #[test]
    fn no_proxy_names_what_is_reached_without_a_proxy() {
        for (list, url, direct) in [
            ("*", "ws://anything:1/", true),
            ("example.com", "ws://example.com/", true),
            ("example.com", "ws://EXAMPLE.com./", true),
            ("Example.com.", "ws://a.b.example.com:81/", true),
            ("example.com", "ws://badexample.com/", false),
            ("example.com", "ws://example.com.evil/", false),
            (".example.com", "ws://a.example.com/", true),
            (".example.com", "ws://example.com/", false),
            ("*.example.com", "ws://a.example.com/", true),
            ("*.example.com", "ws://example.com/", false),
            ("a, b\tc d", "ws://c/", true),
            ("a, b\tc d", "ws://d/", true),
            (",, ,", "ws://a/", false),
            ("example.com:8080", "ws://example.com:8080/", true),
            ("example.com:8080", "ws://example.com/", false),
            ("*:8080", "ws://a:8080/", true),
            ("*:8080", "ws://a:8081/", false),
            ("192.0.2.1", "ws://192.0.2.1/", true),
            ("192.0.2.1", "ws://192.0.2.11/", false),
            ("192.0.2.1:81", "ws://192.0.2.1:81/", true),
            ("192.0.2.1:81", "ws://192.0.2.1/", false),
            ("10.0.0.0/8", "ws://10.1.2.3/", true),
            ("10.0.0.0/8", "ws://11.1.2.3/", false),
            ("10.0.0.0/8", "ws://ten.example/", false),
            ("10.0.0.0/8:81", "ws://10.1.2.3:81/", true),
            ("::1", "ws://[::1]:9/", true),
            ("[::1]", "ws://[::1]:9/", true),
            ("[::1]:9", "ws://[::1]:9/", true),
            ("[::1]:9", "ws://[::1]:8/", false),
            ("2001:db8::/32", "ws://[2001:db8::7]/", true),
        ] {
            let variables = [("http_proxy", "p"), ("no_proxy", list)];
            assert_eq!(host(&variables, url).is_none(), direct, "{list} {url}");
        }
        let upper = [("https_proxy", "p"), ("NO_PROXY", "a")];
        assert_eq!(host(&upper, "wss://a/"), None);
    }

    #[test]
    fn a_variable_that_cannot_be_understood_is_named_and_its_value_is_not() {
        let error = read(&[("HTTPS_PROXY", "ftp://alice:secret@p")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment variable HTTPS_PROXY names no proxy"
        );
        assert!(!format!("{error:?}").contains("secret"));
        for list in [
            "10.0.0.0/33",
            "a:b",
            "a:65536",
            "[::1",
            "a/8",
            "a.*.b",
            ".",
            "[a]",
        ] {
            let error = read(&[("no_proxy", list)]).unwrap_err();
            assert_eq!(error, EnvironmentError::NoProxy(list.into()));
        }
    }
}

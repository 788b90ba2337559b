//! Texts with a grammar of their own: addresses, origins, log filters.

use std::net::{Ipv4Addr, Ipv6Addr};

use tidewire::net::{Address, AddressError};
use tidewire_proto::proxy::ForwardedBy;
use tidewire_table::choice;

choice! {
    /// The shape of log lines.
    #[non_exhaustive]
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// One object per line, for collectors.
        Json = "json",
    }
}

choice! {
    /// The header fields in which trusted HTTP proxies tell who asks.
    pub enum ForwardedFields {
        /// `X-Forwarded-For` where it is there, else `Forwarded`, else `X-Real-IP`.
        Either = "either",
        /// `X-Forwarded-*` only.
        XForwarded = "x-forwarded",
        /// `Forwarded` of RFC 7239 only.
        Forwarded = "forwarded",
    }
}

impl From<ForwardedFields> for ForwardedBy {
    fn from(fields: ForwardedFields) -> Self {
        match fields {
            ForwardedFields::Either => Self::Either,
            ForwardedFields::XForwarded => Self::XForwardedFor,
            ForwardedFields::Forwarded => Self::Forwarded,
        }
    }
}

/// Reads `ip:port`, `localhost:port`, `*:port` or `unix:/path`. Host names are not looked up: the result
/// would depend on the network at the moment of the start.
///
/// # Errors
/// [`AddressError`].
pub fn listen_address(text: &str) -> Result<Address, AddressError> {
    let error = match text.parse() {
        Ok(address) => return Ok(address),
        Err(error) => error,
    };
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(error);
    };
    let ip = match host {
        "localhost" => Ipv4Addr::LOCALHOST,
        "*" => Ipv4Addr::UNSPECIFIED,
        _ => return Err(error),
    };
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_number);
    port.map(|port: u16| Address::from((ip, port))).ok_or(error)
}

/// Reads the permissions of a socket's file as `chmod` takes them in octal digits: `0660`.
pub(crate) fn socket_mode(text: &str) -> Option<u32> {
    let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| is_octal)?;
    (mode <= 0o777).then_some(mode)
}

/// Reads a group, by number or by the name that the system has for it; `Ok(None)` for an empty text.
///
/// # Errors
/// The text says what is wrong.
pub(crate) fn socket_group(text: &str) -> Result<Option<u32>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(number) = text.parse() {
        return Ok(Some(number));
    }
    #[cfg(unix)]
    if let Ok(Some(group)) = nix::unistd::Group::from_name(text) {
        return Ok(Some(group.gid.as_raw()));
    }
    Err("the name or number of a group of this system")
}

/// Reads an origin, or a pattern of origins, and returns it as browsers write it: lower case, the host in ASCII, neither
/// the default port nor a slash at the end. Patterns may have a `*` in the first label of the host, and for the port.
///
/// # Errors
/// The text says which form was expected instead.
pub fn origin(text: &str) -> Result<String, &'static str> {
    if text.eq_ignore_ascii_case("null") {
        return Ok("null".to_owned());
    }
    let (scheme, rest) = text.split_once("://").ok_or(
        "exactly scheme://host or scheme://host:port, such as https://example.org, \"null\", or \"*\" for any",
    )?;
    let scheme = scheme.to_ascii_lowercase();
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme {
        return Err("a scheme in front of ://, such as https");
    }
    if matches!(scheme.as_str(), "ws" | "wss") {
        return Err("http:// or https://: the origin of a page, not the address it connects to");
    }
    let is_of_web = matches!(scheme.as_str(), "http" | "https");
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '@', '\\']) {
        return Err("an origin, which is scheme://host:port without user, path and query");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host = host_of_origin(host, is_of_web)?;
    let port = match port {
        None => return Ok(format!("{scheme}://{host}")),
        Some("*") => return Ok(format!("{scheme}://{host}:*")),
        Some(port) => port,
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let port: Option<u16> = port.parse().ok().filter(|port| is_number && *port != 0);
    let port = port.ok_or("a port from 1 to 65535, or * for any")?;
    let is_default = matches!((scheme.as_str(), port), ("http", 80) | ("https", 443));
    Ok(if is_default {
        format!("{scheme}://{host}")
    } else {
        format!("{scheme}://{host}:{port}")
    })
}

/// The host of an origin or a pattern. Behind a scheme that is not the web's it may be anything: nothing, as in
/// `file://`, or a dot, as in `app://.`.
fn host_of_origin(host: &str, is_of_web: bool) -> Result<String, &'static str> {
    if let Some(address) = host.strip_prefix('[') {
        let address = address
            .strip_suffix(']')
            .and_then(|ip| ip.parse::<Ipv6Addr>().ok());
        return address
            .map(|ip| format!("[{ip}]"))
            .ok_or("an IPv6 address in brackets, such as [2001:db8::1]");
    }
    // A * is no part of a name that can be encoded.
    let (pattern, name) = match host.split_once('.') {
        Some((first, others)) if first.contains('*') => (format!("{first}."), others),
        Some(_) | None => (String::new(), host),
    };
    // What is no name of the domain name system stays as it is.
    let name = idna::domain_to_ascii(name).unwrap_or_else(|_no_name| name.to_owned());
    let host = format!("{pattern}{name}").to_ascii_lowercase();
    let is_name = host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte));
    let is_host = is_name && (!is_of_web || !(host.is_empty() || host.starts_with('.')));
    if !is_host {
        return Err("a host behind scheme://, such as example.org or *.example.org");
    }
    let (first, others) = host.split_once('.').unwrap_or((&host, ""));
    if others.contains('*') || first.matches('*').count() > 1 {
        return Err(
            "one * in the first label of the host, such as *.example.org or app-*.example.org",
        );
    }
    if first == "*" && others.is_empty() && is_of_web {
        return Err("a domain behind the *, such as *.example.org, or \"*\" alone for any origin");
    }
    Ok(host)
}

/// Whether a text is a log filter: levels, alone or behind `target=`, joined by commas. A
/// bare word that is no level is refused, because it is a misspelt level more often than a target.
pub fn is_log_filter(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |text: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text));
    let is_target = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-:.".contains(&byte))
    };
    text.split(',')
        .map(str::trim)
        .all(|directive| match directive.split_once('=') {
            Some((target, level)) => is_target(target) && is_level(level),
            None => is_level(directive),
        })
}

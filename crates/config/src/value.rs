//! Texts with a grammar of their own: addresses, origins, log filters.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

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

/// Reads `ip:port`, `localhost:port` or `*:port`. Host names are not looked up: the result
/// would depend on the network at the moment of the start.
pub fn listen_address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (host, port) = text.rsplit_once(':')?;
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let ip = match host {
        "localhost" => Ipv4Addr::LOCALHOST,
        "*" => Ipv4Addr::UNSPECIFIED,
        _ => return None,
    };
    Some(SocketAddr::new(IpAddr::V4(ip), port.parse().ok()?))
}

/// Reads an origin as browsers write it and returns it in their spelling: lower case, without
/// the default port. Paths, user names, wildcards and `null` are no origins.
pub fn origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !scheme_ok {
        return None;
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_ipv6 = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
    let is_name = !host.is_empty()
        && !host.starts_with('.')
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if !is_ipv6 && !is_name {
        return None;
    }
    let Some(port) = port else {
        return Some(text);
    };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    let is_default = matches!((scheme, port), ("http", 80) | ("https", 443));
    Some(if is_default {
        format!("{scheme}://{host}")
    } else {
        format!("{scheme}://{host}:{port}")
    })
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

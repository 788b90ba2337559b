//! How an endpoint reaches its upstreams: addresses, TLS, health, ejection.

use tidewire::{
    tls::ClientTls,
    ws::{Url, UrlError},
};
use tidewire_config::{Checker, FILES_LOOKED_AT_EVERY, LIST_LENGTH_MAX, Rule, quote};
use tidewire_table::Members;

use super::{
    rules::{identity, not_below, or_no_limit, text_of},
    tables::ClientTlsConfig,
    value::{UpstreamConfig, is_token},
};
use crate::settings::{Ejection, Health, Upstream};

pub(super) fn upstreams(
    check: &mut Checker<'_>,
    at: &str,
    configs: &[UpstreamConfig],
) -> Option<Vec<Upstream>> {
    let key = format!("{at}.upstreams");
    if configs.is_empty() {
        let what = "is missing: expected at least one address, such as \
                    upstreams = [\"ws://127.0.0.1:9001/\"]";
        let what = what.to_owned();
        check.complain(&key, Rule::Missing { what });
        return None;
    }
    if configs.len() > UPSTREAMS_MAX {
        check.value(
            &key,
            &format_args!("{} upstreams", configs.len()),
            "at most 1024",
        );
    }
    let mut upstreams = Vec::new();
    for (index, config) in configs.iter().enumerate() {
        let key = format!("{key}[{index}]");
        check.range(&format!("{key}.weight"), &config.weight, 1..=1000);
        match address(&config.url) {
            Ok(url) => upstreams.push(Upstream {
                url,
                weight: config.weight,
                zone: text_of(&config.zone),
                connections_max: or_no_limit(config.connections_max),
            }),
            Err(error) => {
                let expected = format!("an address such as ws://127.0.0.1:9001/: {error}");
                check.value(
                    &key,
                    &quote(&Url::without_credentials(&config.url)),
                    &expected,
                );
            }
        }
    }
    (upstreams.len() == configs.len()).then_some(upstreams)
}

/// An upstream's address. A blank in it would be encoded elsewhere; in a file it is a slip, as between two addresses.
fn address(url: &str) -> Result<Url, UrlError> {
    if url.contains(char::is_whitespace) {
        return Err(UrlError::Target);
    }
    Url::parse(url)
}

pub(super) fn health(check: &mut Checker<'_>, at: &str, config: &Health) {
    let at = format!("{at}.health");
    if let Some(host) = &config.host
        && (host.is_empty()
            || host.contains(|c: char| c.is_control() || c.is_whitespace() || "/?#@\\".contains(c)))
    {
        let expected = "a host, or host:port";
        check.value(&format!("{at}.host"), &quote(host), expected);
    }
    for (index, name) in config.subprotocols.iter().enumerate() {
        if !is_token(name) {
            let key = format!("{at}.subprotocols[{index}]");
            check.value(&key, &quote(name), "the name of a subprotocol");
        }
    }
    for (index, status) in config.statuses.iter().enumerate() {
        check.range(&format!("{at}.statuses[{index}]"), status, 200..=599);
    }
    for (key, len) in [
        ("subprotocols", config.subprotocols.len()),
        ("statuses", config.statuses.len()),
    ] {
        if len > LIST_LENGTH_MAX {
            check.value(&format!("{at}.{key}"), &len, "at most 256");
        }
    }
    headers(check, &format!("{at}.headers"), &config.headers);
    if let Some(path) = &config.path
        && (!path.starts_with('/')
            || path.contains(|c: char| c.is_control() || c.is_whitespace() || c == '#'))
    {
        let expected = "a path with query that begins with /";
        check.value(&format!("{at}.path"), &quote(path), expected);
    }
    not_below(
        check,
        &at,
        ("interval", config.interval),
        ("timeout", config.timeout),
    );
}

/// Headers of requests to upstreams. Values are not repeated in errors: they may be credentials.
pub(super) fn headers(check: &mut Checker<'_>, table: &str, headers: &Members<String>) {
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        if !is_token(name) {
            check.value(table, &quote(name), "the name of a header");
        } else if HOP.contains(&lower.as_str()) || lower.starts_with("sec-websocket-") {
            let expected = "any header but those of the handshake itself";
            check.value(table, &quote(name), expected);
        }
        if value.trim() != value
            || value
                .chars()
                .any(|letter| letter.is_control() && letter != '\t')
        {
            let expected = "a text without control characters and without blanks at its ends";
            check.value(&format!("{table}.{name}"), &"another text", expected);
        }
    }
}

pub(super) fn ejection(check: &mut Checker<'_>, at: &str, config: &Ejection) {
    not_below(
        check,
        &format!("{at}.ejection"),
        ("ejected_max", config.ejected_max),
        ("ejected_for", config.ejected_for),
    );
}

pub(super) fn client_tls(
    check: &mut Checker<'_>,
    at: &str,
    config: &ClientTlsConfig,
) -> Option<ClientTls> {
    let at = format!("{at}.tls");
    let has_ca = check.file_if_named(&format!("{at}.ca"), &config.ca);
    let has_identity = !(config.certificate.is_empty() && config.key.is_empty());
    let identity = identity(check, &at, config.files(), false);
    if !has_ca {
        return None;
    }
    if config.danger_unverified && (config.system_roots || !config.ca.is_empty()) {
        let what = "contradicts ca and system_roots: it verifies nothing".to_owned();
        check.complain(&format!("{at}.danger_unverified"), Rule::Missing { what });
        return None;
    }
    let mut builder = ClientTls::builder().reload_every(FILES_LOOKED_AT_EVERY);
    if config.danger_unverified {
        builder = builder.danger_unverified();
    } else if config.system_roots || config.ca.is_empty() {
        builder = builder.system_roots();
    }
    if !config.ca.is_empty() {
        builder = builder.ca_file(&config.ca);
    }
    if !config.server_name.is_empty() {
        builder = builder.server_name(&config.server_name);
    }
    if has_identity {
        builder = builder.identity(identity?);
    }
    check.tls_built(&at, builder.build())
}

const UPSTREAMS_MAX: usize = 1024;
/// Headers that the gateway's own handshake with the upstream decides.
const HOP: &[&str] = &[
    "connection",
    "upgrade",
    "content-length",
    "transfer-encoding",
    "te",
];

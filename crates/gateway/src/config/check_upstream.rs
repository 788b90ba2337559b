//! How an endpoint reaches its upstreams: addresses, TLS, health, ejection.

use tidewire::{
    tls::ClientTls,
    ws::{Url, UrlError},
};
use tidewire_config::{Checker, FILES_LOOKED_AT_EVERY, Rule, quote};

use super::{
    rules::{identity, not_below, or_no_limit, text_of},
    tables::ClientTlsConfig,
    value::UpstreamConfig,
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

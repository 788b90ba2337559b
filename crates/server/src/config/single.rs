//! The rules for one value each that only this server has.

use jiff::tz::TimeZone;
use tidewire::tls::ServerTls;
use tidewire_config::{Checker, Rule, quote};

use super::TlsConfig;

pub(super) fn endpoint(check: &mut Checker<'_>, path: &str) {
    let is_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
    };
    let is_path = path.len() <= 256
        && path
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(is_segment));
    if !is_path || path == "/echo" {
        check.value(
            "server.endpoint",
            &quote(path),
            "a path such as /chat: segments of letters, digits and -_.~, no slash at the end, \
             not / and not /echo",
        );
    }
}

pub(super) fn tls(check: &mut Checker<'_>, table: &str, config: &TlsConfig) -> Option<ServerTls> {
    let enabled = format!("{table}.enabled");
    if !config.enabled {
        if !config.client_ca.is_empty() {
            let client_ca = format!("{table}.client_ca");
            check.complain(&client_ca, Rule::ClientCaWithoutTls { other: enabled });
        }
        return None;
    }
    for (key, file) in [("certificate", &config.certificate), ("key", &config.key)] {
        if file.is_empty() {
            let other = enabled.clone();
            check.complain(&format!("{table}.{key}"), Rule::NeededBy { other });
        }
    }
    check.server_tls(table, config.files(), &config.client_ca)
}

pub(super) fn time_zone(check: &mut Checker<'_>, name: &str) {
    if TimeZone::get(name).is_err() {
        check.value(
            "chat.time_zone",
            &quote(name),
            "an IANA time zone such as UTC or Europe/Berlin",
        );
    }
}

//! The rules for one value each that only this server has.

use std::{collections::BTreeSet, path::Path};

use axum::http::{HeaderName, Uri};
use jiff::tz::TimeZone;
use tidewire::tls::{ClientTls, ServerTls};
use tidewire_auth::Secret;
use tidewire_config::{Checker, LIST_LENGTH_MAX, Rule, quote};

use super::{ConnectHookConfig, HookSettings, ServerConfig, TlsConfig, settings::ShapingSettings};

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

/// Who has no limits of rates, and the backend that is asked about connections.
pub(super) fn shaping(check: &mut Checker<'_>, server: &ServerConfig) -> Option<ShapingSettings> {
    let rates = &server.rates;
    let exempt_networks = check.networks("server.rates.exempt_networks", &rates.exempt_networks);
    let mut exempt_users = BTreeSet::new();
    let key = "server.rates.exempt_users";
    list_length(check, key, &rates.exempt_users);
    for (index, text) in rates.exempt_users.iter().enumerate() {
        match text.parse() {
            Ok(user) => {
                exempt_users.insert(user);
            }
            Err(_) => check.value(&format!("{key}[{index}]"), &quote(text), "an id of a user"),
        }
    }
    let hook = match server.connect_hook.backend_url.as_str() {
        "" => None,
        url => Some(hook(check, &server.connect_hook, url)?),
    };
    Some(ShapingSettings {
        exempt_users,
        exempt_networks,
        hook,
    })
}

fn hook(check: &mut Checker<'_>, config: &ConnectHookConfig, url: &str) -> Option<HookSettings> {
    let table = "server.connect_hook";
    let key = |name: &str| format!("{table}.{name}");
    let parsed = url.parse::<Uri>().ok().filter(|url| {
        let is_http = matches!(url.scheme_str(), Some("http" | "https"));
        let names_host = url.host().is_some_and(|host| !host.is_empty());
        let has_user = url.authority().is_some_and(|it| it.as_str().contains('@'));
        is_http && names_host && !has_user
    });
    if parsed.is_none() {
        let expected = "http:// or https:// with a host and without a user";
        check.value(&key("backend_url"), &quote(url), expected);
    }
    let count = config.secrets.len();
    if !(1..=SECRETS_MAX).contains(&count) {
        let found = format_args!("{count} references").to_string();
        check.value(&key("secrets"), &found, "1 to 4 references to secrets");
    }
    let references = config.secrets.iter().take(SECRETS_MAX).enumerate();
    let secrets: Vec<Option<Secret>> = references
        .map(|(index, text)| {
            check.secret_reference(&format!("{table}.secrets[{index}]"), text, SECRET_MIN)
        })
        .collect();
    list_length(check, &key("headers"), &config.headers);
    list_length(check, &key("query"), &config.query);
    for (index, name) in config.headers.iter().enumerate() {
        if HeaderName::try_from(name.as_str()).is_err() {
            let at = format!("{table}.headers[{index}]");
            check.value(&at, &quote(name), "the name of a header field");
        }
    }
    let tls = match config.ca.as_str() {
        "" => None,
        path if check.file(&key("ca"), path) => match ClientTls::with_ca(Path::new(path)) {
            Ok(tls) => Some(tls),
            Err(error) => {
                let reason = tidewire::ErrorChain(&error).to_string();
                let path = path.into();
                check.complain(&key("ca"), Rule::File { path, reason });
                return None;
            }
        },
        _ => return None,
    };
    Some(HookSettings {
        url: parsed?,
        secrets: secrets.into_iter().collect::<Option<_>>()?,
        tls,
    })
}

fn list_length(check: &mut Checker<'_>, key: &str, texts: &[String]) {
    if texts.len() > LIST_LENGTH_MAX {
        let found = format_args!("{} values", texts.len()).to_string();
        check.value(key, &found, "at most 256");
    }
}

/// Secrets that sign one request.
const SECRETS_MAX: usize = 4;
/// Bytes of a secret that cannot be guessed.
const SECRET_MIN: usize = 16;

//! [`EndpointConfig`] → [`Endpoint`].

use std::{path::Path, sync::Arc};

use tidewire_access::Gate;
use tidewire_auth::AuthConfig;
use tidewire_config::{Checker, LIST_LENGTH_MAX, Rule, quote};
use tidewire_proto::smhandshake::is_reserved;

use super::{
    check_upstream::{self, client_tls, upstreams},
    rules::{not_below, or_no_limit},
    tables::EndpointConfig,
    value::{BalanceConfig, OriginsConfig},
};
use crate::settings::{Balance, Endpoint, Extensions, Origins, Process, Resume};

/// Checks the endpoint `name`.
pub(super) fn endpoint(
    check: &mut Checker<'_>,
    name: &str,
    config: &EndpointConfig,
) -> Option<Endpoint> {
    let at = format!("endpoints.{name}");
    endpoint_name(check, &at, name);
    for (index, alias) in config.aliases.iter().enumerate() {
        endpoint_name(check, &format!("{at}.aliases[{index}]"), alias);
    }
    let upstreams = upstreams(check, &at, &config.upstreams);
    let balance = balance(check, &at, &config.balance);
    let health = config.health.as_ref().filter(|it| it.enabled);
    let ejection = Some(&config.ejection).filter(|it| it.enabled);
    let resume = config.resume.as_ref().filter(|it| it.enabled);
    let process = config.process.as_ref().filter(|it| it.enabled);
    if let Some(health) = health {
        check_upstream::health(check, &at, health);
    }
    if let Some(ejection) = ejection {
        check_upstream::ejection(check, &at, ejection);
    }
    if let Some(resume) = resume {
        resume_rules(check, &at, resume);
    }
    if let Some(process) = process {
        process_rules(check, &at, process);
    }
    let tls = config.tls.as_ref().filter(|it| it.enabled);
    let tls = tls.map(|it| client_tls(check, &at, it));
    let origins = origins(check, &at, &config.origins);
    let table = format!("{at}.request_headers");
    check_upstream::headers(check, &table, &config.request_headers);
    let auth = check.auth(&format!("{at}.auth"), &config.auth);
    origins_and_auth(check, &at, &origins, auth.as_ref());
    let looks_inside = resume.is_some() || config.rates.any();
    Some(Endpoint {
        name: name.to_owned(),
        aliases: config.aliases.clone(),
        upstreams: upstreams?,
        balance: balance?,
        zone: config.zone.clone(),
        health: health.cloned(),
        ejection: ejection.cloned(),
        opening: config.opening.clone(),
        tls: match tls {
            Some(tls) => Some(tls?),
            None => None,
        },
        auth: auth.filter(|_| config.auth != AuthConfig::NoAuth),
        origins,
        rates: config.rates.clone(),
        connections_max: or_no_limit(config.connections_max),
        per_client_max: or_no_limit(config.per_client_max),
        resume: resume.cloned(),
        extensions: if looks_inside {
            Extensions::PerHop
        } else {
            config.extensions
        },
        pings: config.pings,
        preserve_host: config.preserve_host,
        request_headers: config.request_headers.clone().into_iter().collect(),
        proxy_protocol: config.proxy_protocol.form(),
        process: process.cloned(),
    })
}

fn balance(check: &mut Checker<'_>, at: &str, config: &BalanceConfig) -> Option<Balance> {
    if config.0.is_none() {
        let what = "is missing: expected what to hash, such as \"ip\"".to_owned();
        check.complain(&format!("{at}.balance.hash"), Rule::Missing { what });
    }
    config.0.clone()
}

/// Any web page could use credentials that browsers attach on their own.
fn origins_and_auth(check: &mut Checker<'_>, at: &str, origins: &Origins, auth: Option<&Gate>) {
    if auth.is_some_and(|auth| !auth.remotes().is_empty()) {
        let message = "`remote` is for admin.auth and for `tidewire serve`: a client may open many endpoints over \
            one connection, and none of them may wait for another one's service"
            .to_owned();
        check.complain(&format!("{at}.auth"), Rule::AuthTable { message });
    }
    if *origins == Origins::Any && auth.is_some_and(|auth| auth.uses_ambient_credentials()) {
        let rule = Rule::AnyOriginWithAmbientCredentials {
            found: "any origin",
            auth: format!("{at}.auth"),
        };
        check.complain(&format!("{at}.origins"), rule);
    }
}

/// What may be a name in every dialect: not what is a word of the handshake (M-25), not what
/// its unquoted form could not tell apart (M-23), not longer than a mux frame holds.
fn endpoint_name(check: &mut Checker<'_>, key: &str, name: &str) {
    if is_reserved(name) {
        let expected = "any other name, for SYN, ACK, SYN/ACK and NACK belong to the handshake";
        check.value(key, &quote(name), expected);
    } else if name.is_empty()
        || name.len() > NAME_BYTES_MAX
        || name.trim() != name
        || name
            .chars()
            .any(|letter| letter.is_control() || "{}\"',\\".contains(letter))
    {
        let expected = "a name of 1 to 255 bytes without {}, quotes, commas, backslashes, \
                        control characters, and blanks at its ends";
        check.value(key, &quote(name), expected);
    }
}

fn resume_rules(check: &mut Checker<'_>, at: &str, config: &Resume) {
    let at = format!("{at}.resume");
    for (index, code) in config.codes.iter().enumerate() {
        check.range(&format!("{at}.codes[{index}]"), code, 1000..=4999);
    }
    if config.codes.len() > LIST_LENGTH_MAX {
        check.value(&format!("{at}.codes"), &config.codes.len(), "at most 256");
    }
    not_below(
        check,
        &at,
        ("backoff_max", config.backoff_max),
        ("backoff_min", config.backoff_min),
    );
}

fn process_rules(check: &mut Checker<'_>, at: &str, config: &Process) {
    let at = format!("{at}.process");
    if config.command.first().is_none_or(String::is_empty) {
        let what = "is missing: expected a program and its arguments, such as [\"node\", \"a.js\"]";
        let what = what.to_owned();
        check.complain(&format!("{at}.command"), Rule::Missing { what });
    }
    if config.command.iter().any(|word| word.contains('\0')) {
        check.value(
            &format!("{at}.command"),
            &"a NUL character",
            "words without",
        );
    }
    if let Some(directory) = config.directory.as_deref().and_then(Path::to_str) {
        check.directory(&format!("{at}.directory"), directory);
    }
    for (name, value) in &config.environment {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let key = format!("{at}.environment");
            check.value(&key, &quote(name), "the name and value of a variable");
        }
    }
    not_below(
        check,
        &at,
        ("backoff_max", config.backoff_max),
        ("backoff_min", config.backoff_min),
    );
}

fn origins(check: &mut Checker<'_>, at: &str, config: &OriginsConfig) -> Origins {
    match config {
        OriginsConfig::Same => Origins::Same,
        OriginsConfig::Any => Origins::Any,
        OriginsConfig::List(texts) => check
            .origins(&format!("{at}.origins"), texts)
            .map_or(Origins::Any, |origins| Origins::List(Arc::from(origins))),
    }
}

/// What a mux frame holds.
const NAME_BYTES_MAX: usize = 255;

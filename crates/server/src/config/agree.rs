//! The rules between keys: values that are fine alone and wrong together.

use std::time::SystemTime;

use tidewire::net::Address;
use tidewire_config::{Checker, Rule, tls_warnings};
use tidewire_engine::embedded::Config as MailboxConfig;
use tidewire_table::{Plain, Size, Value, format_duration, format_size};

use super::{AllowedOrigins, Config, ListenerSettings, Settings, TlsConfig, settings::Warning};

/// Checks the rules between keys. The listeners are `None` when they were wrong by
/// themselves or are not served.
pub(super) fn agreement(
    check: &mut Checker<'_>,
    config: &Config,
    server: Option<&ListenerSettings>,
    listeners: &[ListenerSettings],
    rest: Option<&ListenerSettings>,
    allowed_origins: &AllowedOrigins,
) {
    keep_alive_agreement(check, config);
    mailbox_agreement(check, config);
    if let Some(server) = server {
        if *allowed_origins == AllowedOrigins::Any
            && server.auth.uses_ambient_credentials()
            && !config.server.danger_any_origin_with_credentials
        {
            check.complain(
                "server.allowed_origins",
                Rule::AnyOriginWithAmbientCredentials {
                    found: "\"*\"",
                    auth: "server.auth".to_owned(),
                },
            );
        }
        if is_exposed(&server.listen, server.auth.is_open()) {
            exposed(
                check,
                config,
                "server.listen",
                "server.auth",
                &server.listen,
            );
        }
    }
    for (index, listener) in listeners.iter().enumerate() {
        if is_exposed(&listener.listen, listener.auth.is_open()) {
            let key = format!("server.listeners[{index}].address");
            exposed(check, config, &key, "server.auth", &listener.listen);
        }
    }
    distinct(check, server, listeners, rest);
    if let Some(rest) = rest
        && is_exposed(&rest.listen, rest.auth.is_open())
    {
        exposed(check, config, "rest.listen", "rest.auth", &rest.listen);
    }
    certificate_agreement(check, config, server, rest);
}

/// No two listeners may have one port or socket.
fn distinct(
    check: &mut Checker<'_>,
    server: Option<&ListenerSettings>,
    listeners: &[ListenerSettings],
    rest: Option<&ListenerSettings>,
) {
    let listeners = listeners.iter().enumerate().map(|(index, listener)| {
        let key = format!("server.listeners[{index}].address");
        (key, &listener.listen)
    });
    let first = server.map(|server| ("server.listen".to_owned(), &server.listen));
    let last = rest.map(|rest| ("rest.listen".to_owned(), &rest.listen));
    let all: Vec<_> = first.into_iter().chain(listeners).chain(last).collect();
    let port_of = |address: &Address| address.socket_addr().map(|it| it.port());
    for (index, (key, address)) in all.iter().enumerate() {
        for (other, taken) in all.iter().take(index) {
            let other = other.clone();
            // The same port of two addresses is fine, unless one of them is all addresses.
            let (one, two) = (address.socket_addr(), taken.socket_addr());
            let meet = one.zip(two).is_some_and(|(one, two)| {
                let all = one.ip().is_unspecified() || two.ip().is_unspecified();
                one.ip() == two.ip() || all || key == "rest.listen"
            });
            if meet
                && let Some(port @ 1..) = port_of(address)
                && Some(port) == port_of(taken)
            {
                check.complain(key, Rule::PortTaken { port, other });
                break;
            }
            if address.is_unix() && address == taken {
                let socket = address.to_string();
                check.complain(key, Rule::SocketTaken { socket, other });
                break;
            }
        }
    }
}

/// A listener that asks no client for a certificate would let nobody in by one.
fn certificate_agreement(
    check: &mut Checker<'_>,
    config: &Config,
    server: Option<&ListenerSettings>,
    rest: Option<&ListenerSettings>,
) {
    let asks = |tls: &TlsConfig| tls.enabled && !tls.client_ca.is_empty();
    let mut listeners = config.server.listeners.iter();
    let server_asks = asks(&config.server.tls) || listeners.any(|listener| asks(&listener.tls));
    for (table, listener, asks) in [
        ("server", server, server_asks),
        ("rest", rest, asks(&config.rest.tls)),
    ] {
        if !asks && listener.is_some_and(|listener| listener.auth.uses_certificates()) {
            let message = format!("type `certificate` needs {table}.tls.client_ca");
            check.complain(&format!("{table}.auth"), Rule::AuthTable { message });
        }
    }
}

fn exposed(check: &mut Checker<'_>, config: &Config, key: &str, auth: &str, listen: &Address) {
    if config.server.public_without_auth {
        return;
    }
    check.complain(
        key,
        Rule::PublicWithoutAuth {
            listen: listen.to_string(),
            auth: auth.to_owned(),
            unless: Some("server.public_without_auth".to_owned()),
        },
    );
}

/// A second ping while the first is unanswered would say nothing new.
fn keep_alive_agreement(check: &mut Checker<'_>, config: &Config) {
    let keep_alive = &config.server.keep_alive;
    if let Some(interval) = keep_alive.ping_interval
        && keep_alive.pong_timeout >= interval
    {
        check.complain(
            "server.keep_alive.pong_timeout",
            Rule::NotBelowOther {
                found: format_duration(keep_alive.pong_timeout),
                other: "server.keep_alive.ping_interval".to_owned(),
                bound: format_duration(interval),
            },
        );
    }
}

/// What is accepted must fit where it is kept, or it could never be delivered.
fn mailbox_agreement(check: &mut Checker<'_>, config: &Config) {
    let mailbox = &config.mailbox;
    if let Some(bytes) = mailbox.file_bytes_max
        && bytes < MailboxConfig::FILE_BYTES_MIN
    {
        check.value(
            "mailbox.file_bytes_max",
            &format_size(bytes),
            "0, or at least 64KiB",
        );
    }
    if !mailbox.stores() {
        return;
    }
    let message = (
        "server.limits.message_bytes_max",
        config.server.limits.message_bytes_max as u64,
    );
    let user = ("mailbox.user_bytes_max", mailbox.user_bytes_max);
    if mailbox.sender_bytes_max > 0 {
        let sender = ("mailbox.sender_bytes_max", mailbox.sender_bytes_max);
        at_least::<_, Size>(check, sender, message);
    }
    at_least::<_, Size>(check, user, message);
    at_least::<_, Size>(check, ("mailbox.bytes_max", mailbox.bytes_max), user);
    at_least::<_, Plain>(
        check,
        ("mailbox.messages_max", mailbox.messages_max),
        ("mailbox.user_messages_max", mailbox.user_messages_max),
    );
    at_least::<_, Plain>(
        check,
        ("mailbox.ttl_max", mailbox.ttl_max),
        ("mailbox.ttl", mailbox.ttl),
    );
}

fn at_least<T: Copy + PartialOrd + Value<K>, K>(
    check: &mut Checker<'_>,
    outer: (&str, T),
    inner: (&str, T),
) {
    if outer.1 < inner.1 {
        let words = |value: &T| {
            let shown = value.show().unwrap_or_default();
            shown.trim_matches('"').to_owned()
        };
        check.complain(
            outer.0,
            Rule::BelowOther {
                found: words(&outer.1),
                other: inner.0.to_owned(),
                least: words(&inner.1),
            },
        );
    }
}

impl Settings {
    /// What to say in the log although it is allowed.
    pub(super) fn dangers(&self) -> Vec<Warning> {
        let config = &self.config;
        let rest = self.rest.as_ref();
        let exposed = self
            .messaging()
            .any(|listener| is_exposed(&listener.listen, listener.auth.is_open()))
            || rest.is_some_and(|rest| is_exposed(&rest.listen, rest.auth.is_open()));
        let any_origin = self.allowed_origins == AllowedOrigins::Any;
        let is_ambient = self.server.auth.uses_ambient_credentials();
        let server_secret = config.server.auth.has_inline_secret();
        let rest_secret = rest.is_some() && config.rest.auth.has_inline_secret();
        let mut postbacks = config
            .targets
            .iter()
            .filter_map(|target| target.postback.as_ref());
        let target_secret = postbacks.any(|postback| postback.auth.has_inline_secret());
        let key = |key| Warning::InlineSecret { key };
        let mut dangers: Vec<Warning> = [
            (!config.chat.check_sender).then_some(Warning::SenderUnchecked),
            (!config.mailbox.stores()).then_some(Warning::NothingStored),
            exposed.then_some(Warning::PublicWithoutAuth),
            any_origin.then_some(if is_ambient {
                Warning::AnyOriginWithCredentials
            } else {
                Warning::AnyOrigin
            }),
            server_secret.then_some(key("server.auth")),
            rest_secret.then_some(key("rest.auth")),
            target_secret.then_some(key("targets.postback.auth")),
        ]
        .into_iter()
        .flatten()
        .collect();
        let listeners = [
            ("server.tls", Some(&self.server), &config.server.tls),
            ("rest.tls", rest, &config.rest.tls),
        ];
        let further = self.listeners.iter().zip(&config.server.listeners);
        let further =
            further.map(|(listener, keys)| ("server.listeners.tls", Some(listener), &keys.tls));
        let now = SystemTime::now();
        for (at, listener, files) in listeners.into_iter().chain(further) {
            let tls = listener.and_then(|listener| listener.tls.as_ref());
            let warnings =
                tls.map(|tls| tls_warnings(at, tls, files.danger_allow_exposed_key, now));
            dangers.extend(warnings.into_iter().flatten().map(Warning::Tls));
        }
        dangers
    }
}

/// Whether other machines get in without credentials.
fn is_exposed(listen: &Address, is_open: bool) -> bool {
    is_open && !listen.is_local()
}

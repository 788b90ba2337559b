//! The rules between keys: values that are fine alone and wrong together.

use std::time::SystemTime;

use tidewire::net::Address;
use tidewire_config::{Checker, Rule, tls_warnings};
use tidewire_engine::embedded::Config as MailboxConfig;
use tidewire_table::{Plain, Size, Value, format_duration, format_size};

use super::{AllowedOrigins, Config, ListenerSettings, Settings, settings::Warning};

/// The listeners: `None` when they were wrong by themselves or are not served.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listeners<'a> {
    pub(super) server: Option<&'a ListenerSettings>,
    pub(super) rest: Option<&'a ListenerSettings>,
    pub(super) admin: Option<&'a ListenerSettings>,
}

/// Checks the rules between keys.
pub(super) fn agreement(
    check: &mut Checker<'_>,
    config: &Config,
    listeners: Listeners<'_>,
    allowed_origins: &AllowedOrigins,
) {
    let Listeners {
        server,
        rest,
        admin,
    } = listeners;
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
            exposed(check, config, "server", &server.listen);
        }
    }
    if let Some(rest) = rest
        && is_exposed(&rest.listen, rest.auth.is_open())
    {
        exposed(check, config, "rest", &rest.listen);
    }
    if let Some(admin) = admin
        && is_exposed(&admin.listen, admin.auth.is_open())
    {
        // Whoever reaches it could end everybody's sessions: there is no key that allows it.
        check.complain(
            "admin.listen",
            Rule::PublicWithoutAuth {
                listen: admin.listen.to_string(),
                auth: "admin.auth".to_owned(),
                unless: None,
            },
        );
    }
    certificate_agreement(check, config, listeners);
    let rest = rest.map(|rest| (&rest.listen, "rest.listen"));
    let admin = admin.map(|admin| (&admin.listen, "admin.listen"));
    if let Some(server) = server {
        let server = (&server.listen, "server.listen");
        for one in rest.into_iter().chain(admin) {
            apart(check, one, server);
        }
    }
    if let (Some(rest), Some(admin)) = (rest, admin) {
        apart(check, admin, rest);
    }
}

/// Two listeners have each a port or a socket of their own.
fn apart(check: &mut Checker<'_>, one: (&Address, &str), other: (&Address, &str)) {
    let ((listen, key), (taken, other)) = (one, other);
    let other = other.to_owned();
    let port_of = |address: &Address| address.socket_addr().map(|it| it.port());
    if let Some(port @ 1..) = port_of(listen)
        && Some(port) == port_of(taken)
    {
        check.complain(key, Rule::PortTaken { port, other });
    } else if listen.is_unix() && listen == taken {
        let socket = listen.to_string();
        check.complain(key, Rule::SocketTaken { socket, other });
    }
}

/// A listener that asks no client for a certificate would let nobody in by one.
fn certificate_agreement(check: &mut Checker<'_>, config: &Config, listeners: Listeners<'_>) {
    for (table, listener, tls) in [
        ("server", listeners.server, &config.server.tls),
        ("rest", listeners.rest, &config.rest.tls),
        ("admin", listeners.admin, &config.admin.tls),
    ] {
        let asks = tls.enabled && !tls.client_ca.is_empty();
        if !asks && listener.is_some_and(|listener| listener.auth.uses_certificates()) {
            let message = format!("type `certificate` needs {table}.tls.client_ca");
            check.complain(&format!("{table}.auth"), Rule::AuthTable { message });
        }
    }
}

fn exposed(check: &mut Checker<'_>, config: &Config, table: &str, listen: &Address) {
    if config.server.public_without_auth {
        return;
    }
    check.complain(
        &format!("{table}.listen"),
        Rule::PublicWithoutAuth {
            listen: listen.to_string(),
            auth: format!("{table}.auth"),
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
        let exposed = is_exposed(&self.server.listen, self.server.auth.is_open())
            || rest.is_some_and(|rest| is_exposed(&rest.listen, rest.auth.is_open()));
        let any_origin = self.allowed_origins == AllowedOrigins::Any;
        let is_ambient = self.server.auth.uses_ambient_credentials();
        let server_secret = config.server.auth.has_inline_secret();
        let rest_secret = rest.is_some() && config.rest.auth.has_inline_secret();
        let mut postbacks = config
            .targets
            .iter()
            .filter_map(|target| target.postback.as_ref());
        let admin_secret = self.admin.is_some() && config.admin.auth.has_inline_secret();
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
            admin_secret.then_some(key("admin.auth")),
            target_secret.then_some(key("targets.postback.auth")),
        ]
        .into_iter()
        .flatten()
        .collect();
        let listeners = [
            ("server.tls", Some(&self.server), &config.server.tls),
            ("rest.tls", rest, &config.rest.tls),
            ("admin.tls", self.admin.as_ref(), &config.admin.tls),
        ];
        let now = SystemTime::now();
        for (at, listener, files) in listeners {
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

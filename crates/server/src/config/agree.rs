//! The rules between keys: values that are fine alone and wrong together.

use std::net::SocketAddr;

use tidewire_config::{Checker, Rule};

use super::{AllowedOrigins, Config, RestSettings, ServerSettings, Settings, settings::Warning};

/// Checks the rules between keys. The listeners are `None` when they were wrong by
/// themselves or are not served.
pub(super) fn agreement(
    check: &mut Checker<'_>,
    config: &Config,
    server: Option<&ServerSettings>,
    rest: Option<&RestSettings>,
) {
    keep_alive_agreement(check, config);
    mailbox_agreement(check, config);
    if let Some(server) = server {
        if server.allowed_origins == AllowedOrigins::Any && server.auth.uses_ambient_credentials() {
            check.complain(
                "server.allowed_origins",
                Rule::AnyOriginWithAmbientCredentials {
                    found: "\"*\"",
                    auth: "server.auth".to_owned(),
                },
            );
        }
        if is_exposed(server.listen, server.auth.is_open()) {
            exposed(check, config, "server", server.listen);
        }
    }
    if let Some(rest) = rest
        && is_exposed(rest.listen, rest.auth.is_open())
    {
        exposed(check, config, "rest", rest.listen);
    }
    if let (Some(server), Some(rest)) = (server, rest) {
        let port = rest.listen.port();
        if port != 0 && port == server.listen.port() {
            check.complain(
                "rest.listen",
                Rule::PortTaken {
                    port,
                    other: "server.listen".to_owned(),
                },
            );
        }
    }
}

fn exposed(check: &mut Checker<'_>, config: &Config, table: &str, listen: SocketAddr) {
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
    let keep_alive = &config.chat.keep_alive;
    if keep_alive.ping_seconds != 0 && keep_alive.pong_seconds >= keep_alive.ping_seconds {
        check.complain(
            "chat.keep_alive.pong_seconds",
            Rule::NotBelowOther {
                found: keep_alive.pong_seconds.to_string(),
                other: "chat.keep_alive.ping_seconds".to_owned(),
                bound: keep_alive.ping_seconds.to_string(),
            },
        );
    }
}

/// What is accepted must fit where it is kept, or it could never be delivered.
fn mailbox_agreement(check: &mut Checker<'_>, config: &Config) {
    let mailbox = &config.mailbox;
    if !mailbox.stores() {
        return;
    }
    if mailbox.sender_bytes_max.0 > 0 {
        at_least(
            check,
            &("mailbox.sender_bytes_max", mailbox.sender_bytes_max),
            &("chat.message_bytes_max", config.chat.message_bytes_max),
        );
    }
    let sizes = [
        (
            ("mailbox.user_bytes_max", mailbox.user_bytes_max),
            ("chat.message_bytes_max", config.chat.message_bytes_max),
        ),
        (
            ("mailbox.bytes_max", mailbox.bytes_max),
            ("mailbox.user_bytes_max", mailbox.user_bytes_max),
        ),
    ];
    for (outer, inner) in &sizes {
        at_least(check, outer, inner);
    }
    at_least(
        check,
        &("mailbox.messages_max", mailbox.messages_max),
        &("mailbox.user_messages_max", mailbox.user_messages_max),
    );
    at_least(
        check,
        &("mailbox.ttl_seconds_max", mailbox.ttl_seconds_max),
        &("mailbox.ttl_seconds", mailbox.ttl_seconds),
    );
}

fn at_least<T: PartialOrd + ToString>(
    check: &mut Checker<'_>,
    outer: &(&str, T),
    inner: &(&str, T),
) {
    if outer.1 < inner.1 {
        check.complain(
            outer.0,
            Rule::BelowOther {
                found: outer.1.to_string(),
                other: inner.0.to_owned(),
                least: inner.1.to_string(),
            },
        );
    }
}

impl Config {
    /// What to say in the log although it is allowed.
    pub(super) fn warnings(&self, settings: &Settings) -> Vec<Warning> {
        let server = &settings.server;
        let rest = settings.rest.as_ref();
        let exposed = is_exposed(server.listen, server.auth.is_open())
            || rest.is_some_and(|rest| is_exposed(rest.listen, rest.auth.is_open()));
        let any_origin = server.allowed_origins == AllowedOrigins::Any;
        let server_secret = self.server.auth.has_inline_secret();
        let rest_secret = rest.is_some() && self.rest.auth.has_inline_secret();
        let key = |key| Warning::InlineSecret { key };
        [
            (!self.chat.check_sender).then_some(Warning::SenderUnchecked),
            (!settings.mailbox.stores).then_some(Warning::NothingStored),
            exposed.then_some(Warning::PublicWithoutAuth),
            any_origin.then_some(Warning::AnyOrigin),
            server_secret.then_some(key("server.auth")),
            rest_secret.then_some(key("rest.auth")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Whether other machines get in without credentials.
fn is_exposed(listen: SocketAddr, is_open: bool) -> bool {
    is_open && !listen.ip().to_canonical().is_loopback()
}

//! [`Config`] → [`Settings`].
//!
//! Every rule that is broken is noted and checking goes on, so that one run tells everything.

use std::sync::Arc;

use tidewire::{
    net::UnixOptions,
    ws::{ProxyProtocol, TrustedProxies},
};
use tidewire_auth::{AuthConfig, Lookup};
use tidewire_config::{Checker, ConfigError, ForwardedFields, LIST_LENGTH_MAX, Source, quote};

use super::{
    AdminConfig, AllowedOrigins, Config, ListenerSettings, Settings, TlsConfig,
    agree::{Listeners, agreement},
    single::{endpoint, shaping, time_zone, tls},
};

impl Config {
    /// Checks every rule and looks up references to secrets.
    ///
    /// # Errors
    /// Every broken rule. The source of all values is called the default, because where this
    /// configuration came from is not known here; [`load`](super::load) knows.
    pub fn check(&self, lookup: &dyn Lookup) -> Result<Settings, ConfigError> {
        let mut checker = Checker::new(lookup, &|_| vec![Source::Default]);
        let settings = self.check_with(&mut checker);
        checker.finish(settings)
    }

    /// [`check`](Self::check) with a checker that knows the sources. `None` only when it noted
    /// something.
    pub(super) fn check_with(&self, check: &mut Checker<'_>) -> Option<Settings> {
        check.ranges("", self);
        if self.data_dir.is_empty() {
            check.value("data_dir", &quote(""), "a directory");
        }
        let server = &self.server;
        endpoint(check, &server.endpoint);
        let allowed_origins = check
            .origins("server.allowed_origins", &server.allowed_origins)
            .map_or(AllowedOrigins::Any, AllowedOrigins::Only);
        let proxies = Proxies {
            proxy_protocol: &server.proxy_protocol,
            trusted: &server.trusted_proxies,
            fields: server.forwarded_fields,
        };
        let unix = check.socket_options("server", &server.socket_mode, &server.socket_group);
        let keys = (&*server.listen, unix, &server.tls, &server.auth);
        let messaging = listener(check, "server", keys, proxies);
        let rest = Some(&self.rest).filter(|rest| rest.enabled);
        let rest = rest.and_then(|rest| {
            let proxies = Proxies {
                proxy_protocol: &rest.proxy_protocol,
                trusted: &rest.trusted_proxies,
                fields: rest.forwarded_fields,
            };
            let unix = check.socket_options("rest", &rest.socket_mode, &rest.socket_group);
            let keys = (&*rest.listen, unix, &rest.tls, &rest.auth);
            listener(check, "rest", keys, proxies)
        });
        let admin = Some(&self.admin).filter(|admin| admin.enabled);
        let admin = admin.and_then(|admin| admin_listener(check, admin));
        let shaping = shaping(check, server);
        let chat = &self.chat;
        types(
            check,
            "chat.send_back_ignored_types",
            &chat.send_back_ignored_types,
        );
        types(check, "chat.live_only_types", &chat.live_only_types);
        time_zone(check, &chat.time_zone);
        let events = tidewire_notify::check(check, &self.events, &self.targets);
        check.log_level("log.level", &self.log.level);
        agreement(
            check,
            self,
            Listeners {
                server: messaging.as_ref(),
                rest: rest.as_ref(),
                admin: admin.as_ref(),
            },
            &allowed_origins,
        );
        let mut settings = Settings {
            config: self.clone(),
            server: messaging?,
            rest,
            admin,
            events: events?,
            allowed_origins,
            shaping: shaping?,
            warnings: Vec::new(),
        };
        settings.warnings = settings.dangers();
        Some(settings)
    }
}

/// The proxies in front of a listener.
#[derive(Clone, Copy)]
struct Proxies<'a> {
    proxy_protocol: &'a [String],
    trusted: &'a [String],
    fields: ForwardedFields,
}

fn listener(
    check: &mut Checker<'_>,
    table: &str,
    (listen, unix, files, auth): (&str, UnixOptions, &TlsConfig, &AuthConfig),
    proxies: Proxies<'_>,
) -> Option<ListenerSettings> {
    let balancers = check.networks(&format!("{table}.proxy_protocol"), proxies.proxy_protocol);
    let networks = check.networks(&format!("{table}.trusted_proxies"), proxies.trusted);
    let listen = check.listen(&format!("{table}.listen"), listen, "127.0.0.1:8085");
    let tls = tls(check, &format!("{table}.tls"), files);
    let auth = check.auth(&format!("{table}.auth"), auth);
    Some(ListenerSettings {
        listen: listen?,
        unix,
        tls,
        auth: auth?,
        proxy_protocol: ProxyProtocol::from_trusted(balancers),
        trusted_proxies: TrustedProxies {
            networks,
            by: proxies.fields.into(),
        },
        bound_port: Arc::default(),
    })
}

fn admin_listener(check: &mut Checker<'_>, admin: &AdminConfig) -> Option<ListenerSettings> {
    let proxies = Proxies {
        proxy_protocol: &[],
        trusted: &admin.trusted_proxies,
        fields: admin.forwarded_fields,
    };
    let unix = check.socket_options("admin", &admin.socket_mode, &admin.socket_group);
    let keys = (&*admin.listen, unix, &admin.tls, &admin.auth);
    listener(check, "admin", keys, proxies)
}

/// A list of message types is compared one by one.
fn types(check: &mut Checker<'_>, key: &str, types: &[String]) {
    if types.len() > LIST_LENGTH_MAX {
        let found = format_args!("{} types", types.len()).to_string();
        check.value(key, &found, "at most 256");
    }
}

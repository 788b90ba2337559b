//! [`Config`] → [`Settings`].
//!
//! Every rule that is broken is noted and checking goes on, so that one run tells everything.

use std::sync::Arc;

use tidewire::{
    net::UnixOptions,
    ws::{ProxyProtocol, TrustedProxies},
};
use tidewire_access::Gate;
use tidewire_auth::Lookup;
use tidewire_config::{Checker, ConfigError, ForwardedFields, LIST_LENGTH_MAX, Source, quote};

use super::{
    AdminConfig, AllowedOrigins, Config, ListenerSettings, ServerConfig, Settings, TlsConfig,
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
        let auth = check.auth("server.auth", &server.auth);
        let messaging = messaging_listener(check, server, auth.clone());
        let listeners = self.listeners(check, auth.as_ref());
        let rest = Some(&self.rest).filter(|rest| rest.enabled);
        let rest = rest.and_then(|rest| {
            let proxies = Proxies {
                proxy_protocol: &rest.proxy_protocol,
                trusted: &rest.trusted_proxies,
                fields: rest.forwarded_fields,
            };
            let unix = check.socket_options("rest", &rest.socket_mode, &rest.socket_group);
            let auth = check.auth("rest.auth", &rest.auth);
            let keys = ("rest.listen", &*rest.listen, unix, &rest.tls, auth);
            listener(check, "rest", keys, rest.http2, proxies)
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
                further: listeners.as_deref().unwrap_or_default(),
                rest: rest.as_ref(),
                admin: admin.as_ref(),
            },
            &allowed_origins,
        );
        let mut settings = Settings {
            config: self.clone(),
            server: messaging?,
            listeners: listeners?,
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

    /// Further listeners, which let in whom `auth` does.
    fn listeners(
        &self,
        check: &mut Checker<'_>,
        auth: Option<&Gate>,
    ) -> Option<Vec<ListenerSettings>> {
        let configured = &self.server.listeners;
        if configured.len() > LISTENERS_MAX {
            check.value("server.listeners", &configured.len(), "at most 64 tables");
            return None;
        }
        let all: Vec<_> = configured
            .iter()
            .enumerate()
            .map(|(index, config)| {
                let at = format!("server.listeners[{index}]");
                let proxies = Proxies {
                    proxy_protocol: &config.proxy_protocol,
                    trusted: &config.trusted_proxies,
                    fields: config.forwarded_fields,
                };
                let unix = check.socket_options(&at, &config.socket_mode, &config.socket_group);
                let key = format!("{at}.address");
                let keys = (&*key, &*config.address, unix, &config.tls, auth.cloned());
                listener(check, &at, keys, config.http2, proxies)
            })
            .collect();
        all.into_iter().collect()
    }
}

const LISTENERS_MAX: usize = 64;

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
    (key, listen, unix, files, auth): (&str, &str, UnixOptions, &TlsConfig, Option<Gate>),
    http2: bool,
    proxies: Proxies<'_>,
) -> Option<ListenerSettings> {
    let balancers = check.networks(&format!("{table}.proxy_protocol"), proxies.proxy_protocol);
    let networks = check.networks(&format!("{table}.trusted_proxies"), proxies.trusted);
    let listen = check.listen(key, listen, "127.0.0.1:8085");
    let tls = tls(check, &format!("{table}.tls"), files);
    Some(ListenerSettings {
        listen: listen?,
        unix,
        tls,
        auth: auth?,
        http2,
        proxy_protocol: ProxyProtocol::from_trusted(balancers),
        trusted_proxies: TrustedProxies {
            networks,
            by: proxies.fields.into(),
        },
        bound_port: Arc::default(),
    })
}

fn messaging_listener(
    check: &mut Checker<'_>,
    server: &ServerConfig,
    auth: Option<Gate>,
) -> Option<ListenerSettings> {
    let proxies = Proxies {
        proxy_protocol: &server.proxy_protocol,
        trusted: &server.trusted_proxies,
        fields: server.forwarded_fields,
    };
    let unix = check.socket_options("server", &server.socket_mode, &server.socket_group);
    let keys = ("server.listen", &*server.listen, unix, &server.tls, auth);
    listener(check, "server", keys, server.http2, proxies)
}

fn admin_listener(check: &mut Checker<'_>, admin: &AdminConfig) -> Option<ListenerSettings> {
    let proxies = Proxies {
        proxy_protocol: &[],
        trusted: &admin.trusted_proxies,
        fields: admin.forwarded_fields,
    };
    let unix = check.socket_options("admin", &admin.socket_mode, &admin.socket_group);
    let auth = check.auth("admin.auth", &admin.auth);
    let keys = ("admin.listen", &*admin.listen, unix, &admin.tls, auth);
    listener(check, "admin", keys, false, proxies)
}

/// A list of message types is compared one by one.
fn types(check: &mut Checker<'_>, key: &str, types: &[String]) {
    if types.len() > LIST_LENGTH_MAX {
        let found = format_args!("{} types", types.len()).to_string();
        check.value(key, &found, "at most 256");
    }
}

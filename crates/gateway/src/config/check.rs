//! [`Config`] → [`Settings`]: everything but endpoints and routes.
//!
//! Every rule that is broken is noted and checking goes on, so that one run tells everything.

use std::sync::Arc;

use tidewire::{
    tls::ServerTls,
    ws::{ProxyProtocol, TrustedProxies},
};
use tidewire_auth::AuthConfig;
use tidewire_config::{Checker, LIST_LENGTH_MAX, Rule, connections_max, quote};
use tidewire_table::{SECOND, format_duration};

use super::{
    Config,
    agree::agreement,
    check_endpoint::endpoint,
    check_route::route,
    rules::named,
    tables::{ListenerConfig, TlsConfig},
};
use crate::settings::{
    AccessLog, Admin, Endpoint, Limits, LimitsConfig, Listener, Route, Settings,
};

impl Config {
    /// Checks every rule, looks up references to secrets and reads certificates. `None` only
    /// when a problem was noted.
    pub(super) fn check_with(&self, check: &mut Checker<'_>) -> Option<Settings> {
        check.ranges("", self);
        let listeners = self.listeners(check);
        let endpoints: Option<Vec<Arc<Endpoint>>> = self
            .endpoints
            .iter()
            .map(|(name, config)| endpoint(check, name, config).map(Arc::new))
            .collect::<Vec<_>>()
            .into_iter()
            .collect();
        let routes: Option<Vec<Route>> = self
            .routes
            .iter()
            .enumerate()
            .map(|(index, config)| route(check, index, config, &self.endpoints))
            .collect::<Vec<_>>()
            .into_iter()
            .collect();
        paths(check, &self.classic.paths);
        if let Some(path) = self.health_path.as_deref().filter(|path| !is_path(path)) {
            let expected = "a path that begins with /, without a query";
            check.value("health_path", &quote(path), expected);
        }
        let admin = match &self.admin {
            Some(admin) if admin.enabled => Some(self.admin(check)),
            Some(_) | None => None,
        };
        check.log_level("log.level", &self.log.level);
        agreement(check, self, listeners.as_deref());
        let mut settings = Settings {
            listeners: listeners?,
            workers: (self.workers > 0).then_some(self.workers),
            endpoints: endpoints?,
            routes: routes?,
            pin_by_name: self.pin_by_name,
            health_path: self.health_path.clone(),
            classic: self.classic.clone(),
            mux: self.mux.clone(),
            limits: limits(check, &self.limits),
            drain: self.drain.clone(),
            admin: match admin {
                Some(admin) => Some(admin?),
                None => None,
            },
            handover: self.handover.clone(),
            watch: self.watch,
            files: Vec::new(),
            access_log: AccessLog::from_key(&self.access_log),
            log: self.log.clone(),
            warnings: Vec::new(),
        };
        settings.warnings = self.warnings(&settings);
        Some(settings)
    }

    fn listeners(&self, check: &mut Checker<'_>) -> Option<Vec<Listener>> {
        if !(1..=LISTENERS_MAX).contains(&self.listeners.len()) {
            let expected = "1 to 64 listeners, each a [[listeners]] table";
            check.value("listeners", &self.listeners.len(), expected);
            return None;
        }
        let all: Vec<Option<Listener>> = self
            .listeners
            .iter()
            .enumerate()
            .map(|(index, config)| {
                let at = format!("listeners[{index}]");
                if index == 0 && !self.listen.is_empty() {
                    listener(check, &at, config, "listen", &self.listen)
                } else {
                    let key = format!("{at}.address");
                    listener(check, &at, config, &key, &config.address)
                }
            })
            .collect();
        all.into_iter().collect()
    }

    fn admin(&self, check: &mut Checker<'_>) -> Option<Admin> {
        let config = self.admin.as_ref()?;
        let address = check.listen("admin.address", &config.address, "127.0.0.1:8091");
        let networks = check.networks("admin.trusted_proxies", &config.trusted_proxies);
        let unix = check.socket_options("admin", &config.socket_mode, &config.socket_group);
        let auth = check.auth("admin.auth", &config.auth)?;
        let address = address?;
        if auth.is_open() && !address.is_local() {
            check.complain(
                "admin.address",
                Rule::PublicWithoutAuth {
                    listen: address.to_string(),
                    auth: "admin.auth".to_owned(),
                    unless: None,
                },
            );
            return None;
        }
        Some(Admin {
            address,
            unix,
            auth: (config.auth != AuthConfig::NoAuth).then_some(auth),
            proxies: TrustedProxies {
                networks,
                by: config.forwarded_fields.into(),
            },
        })
    }
}

fn listener(
    check: &mut Checker<'_>,
    at: &str,
    config: &ListenerConfig,
    key: &str,
    address: &str,
) -> Option<Listener> {
    let address = check.listen(key, address, "127.0.0.1:8090");
    let unix = check.socket_options(at, &config.socket_mode, &config.socket_group);
    let trusted = check.networks(&format!("{at}.proxy_protocol"), &config.proxy_protocol);
    let trusted_proxies = check.networks(&format!("{at}.trusted_proxies"), &config.trusted_proxies);
    let tls = match &config.tls {
        Some(tls) if tls.enabled => Some(server_tls(check, &format!("{at}.tls"), tls)?),
        Some(_) | None => None,
    };
    Some(Listener {
        address: address?,
        unix,
        tls,
        proxy_protocol: ProxyProtocol::from_trusted(trusted),
        trusted_proxies,
        forwarded_by: config.forwarded_fields.into(),
        http2: config.http2,
    })
}

fn server_tls(check: &mut Checker<'_>, at: &str, config: &TlsConfig) -> Option<ServerTls> {
    let files = config.files();
    named(check, at, files);
    check.server_tls(at, files, &config.client_ca)
}

fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte))
}

fn paths(check: &mut Checker<'_>, paths: &[String]) {
    for (index, path) in paths.iter().enumerate() {
        if !path.starts_with('/') {
            let key = format!("classic.paths[{index}]");
            check.value(&key, &quote(path), "a path that begins with /");
        }
    }
    if paths.len() > LIST_LENGTH_MAX {
        check.value("classic.paths", &paths.len(), "at most 256");
    }
}

fn limits(check: &mut Checker<'_>, config: &LimitsConfig) -> Limits {
    if let Some(idle) = config.idle_timeout.filter(|idle| *idle < SECOND) {
        let found = format_duration(idle);
        check.value("limits.idle_timeout", &found, "0s, or 1s to 1d");
    }
    let mut limits = Limits::from(config);
    if config.connections_max == 0 {
        // Each may need a second descriptor for its backend.
        limits.connections_max = (connections_max() / 2).max(1);
        if config.backend_connections_max == 0 {
            limits.backend_connections_max = limits.connections_max;
            if config.backend_connections_per_ip_max == 0 {
                limits.backend_connections_per_ip_max = limits.connections_max.div_ceil(2);
            }
        }
    }
    limits
}

const LISTENERS_MAX: usize = 64;

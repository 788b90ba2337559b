//! [`Config`] → [`Settings`]: everything but endpoints and routes.
//!
//! Every rule that is broken is noted and checking goes on, so that one run tells everything.

use std::{path::PathBuf, sync::Arc};

use tidewire::{
    tls::ServerTls,
    ws::{ControlRate, Network, ProxyProtocol},
};
use tidewire_auth::AuthConfig;
use tidewire_config::{ByteSize, Checker, LIST_LENGTH_MAX, Rule, Span, connections_max, quote};

use super::{
    Config,
    agree::agreement,
    check_endpoint::endpoint,
    check_route::route,
    raw::{ClassicConfig, LimitsConfig, ListenerConfig, TlsConfig},
    rules::{DAY, FILES_LOOKED_AT_EVERY, HOUR, built, identity, is_there_if_named, or_no_limit},
};
use crate::settings::{
    AccessLog, Admin, Classic, Drain, Endpoint, Limits, Listener, Log, Mux, Route, Settings,
};

impl Config {
    /// Checks every rule, looks up references to secrets and reads certificates. `None` only
    /// when a problem was noted.
    pub(super) fn check_with(&self, check: &mut Checker<'_>) -> Option<Settings> {
        let listeners = self.listeners(check);
        let workers = check.count("workers", self.workers, 0, 1024);
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
        let classic = classic(check, &self.classic);
        let mux = Mux {
            enabled: self.mux.enabled,
            streams_max: check.count("mux.streams_max", self.mux.streams_max, 1, 1 << 16),
            credit: credit(check, self.mux.credit),
        };
        let limits = limits(check, &self.limits);
        let most = 1_000_000;
        let per_second = self.drain.per_second;
        check.range("drain.per_second", &per_second, 1..=most);
        let within = check.span("drain.within", self.drain.within, NONE, HOUR);
        let drain = Drain { per_second, within };
        let admin = match &self.admin {
            Some(admin) if admin.enabled => Some(self.admin(check)),
            Some(_) | None => None,
        };
        check.log_level("log.level", &self.log.level);
        agreement(check, self, listeners.as_deref());
        let mut settings = Settings {
            listeners: listeners?,
            workers: (workers > 0).then_some(workers),
            endpoints: endpoints?,
            routes: routes?,
            pin_by_name: self.pin_by_name,
            classic,
            mux,
            limits,
            drain,
            admin: match admin {
                Some(admin) => Some(admin?),
                None => None,
            },
            handover: path_of(&self.handover),
            watch: self.watch,
            files: Vec::new(),
            access_log: match self.access_log.as_str() {
                "" => None,
                "stdout" => Some(AccessLog::Stdout),
                file => Some(AccessLog::File(PathBuf::from(file))),
            },
            log: Log {
                level: self.log.level.clone(),
                format: self.log.format,
                file: path_of(&self.log.file),
            },
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
        let auth = check.auth("admin.auth", &config.auth)?;
        let address = address?;
        if auth.is_open() && !address.ip().to_canonical().is_loopback() {
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
            auth: (config.auth != AuthConfig::NoAuth).then_some(auth),
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
    let trusted = networks(
        check,
        &format!("{at}.proxy_protocol"),
        &config.proxy_protocol,
    );
    let trusted_proxies = networks(
        check,
        &format!("{at}.trusted_proxies"),
        &config.trusted_proxies,
    );
    let tls = match &config.tls {
        Some(tls) if tls.enabled => Some(server_tls(check, &format!("{at}.tls"), tls)?),
        Some(_) | None => None,
    };
    Some(Listener {
        address: address?,
        tls,
        proxy_protocol: if trusted.is_empty() {
            ProxyProtocol::Off
        } else {
            ProxyProtocol::Required { trusted }
        },
        trusted_proxies,
        http2: config.http2,
    })
}

fn networks(check: &mut Checker<'_>, key: &str, texts: &[String]) -> Vec<Network> {
    if texts.len() > LIST_LENGTH_MAX {
        check.value(
            key,
            &format_args!("{} networks", texts.len()),
            "at most 256",
        );
    }
    let mut networks = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match text.parse() {
            Ok(network) => networks.push(network),
            Err(_) => check.value(
                &format!("{key}[{index}]"),
                &quote(text),
                "an address or a network like 10.0.0.0/8 or 2001:db8::/32",
            ),
        }
    }
    networks
}

fn server_tls(check: &mut Checker<'_>, at: &str, config: &TlsConfig) -> Option<ServerTls> {
    let files = identity(check, at, &config.certificate, &config.key, true);
    let has_client_ca = is_there_if_named(check, &format!("{at}.client_ca"), &config.client_ca);
    let identity = files.filter(|_| has_client_ca)?;
    let mut builder = ServerTls::builder(identity).reload_every(FILES_LOOKED_AT_EVERY);
    if !config.client_ca.is_empty() {
        builder = builder.client_ca_file(&config.client_ca);
    }
    built(check, at, builder.build())
}

fn classic(check: &mut Checker<'_>, config: &ClassicConfig) -> Classic {
    for (index, path) in config.paths.iter().enumerate() {
        if !path.starts_with('/') {
            let key = format!("classic.paths[{index}]");
            check.value(&key, &quote(path), "a path that begins with /");
        }
    }
    if config.paths.len() > LIST_LENGTH_MAX {
        check.value("classic.paths", &config.paths.len(), "at most 256");
    }
    Classic {
        enabled: config.enabled,
        handshake_within: check.span(
            "classic.handshake_within",
            config.handshake_within,
            Span::millis(100),
            Span::seconds(300),
        ),
        bare_ack: config.bare_ack,
        message_bytes_max: check.size(
            "classic.message_bytes_max",
            config.message_bytes_max,
            ByteSize::kib(1),
            ByteSize::gib(1),
        ),
        routes_max: check.count("classic.routes_max", config.routes_max, 1, 1 << 16),
        queue_bytes_max: check.size(
            "classic.queue_bytes_max",
            config.queue_bytes_max,
            ByteSize::kib(1),
            ByteSize::gib(1),
        ),
        paths: config.paths.clone(),
    }
}

/// What the protocol allows.
fn credit(check: &mut Checker<'_>, credit: ByteSize) -> u32 {
    const MOST: u32 = (1 << 31) - 1;
    let most = ByteSize(MOST.into());
    check.range("mux.credit", &credit, ByteSize(16_390)..=most);
    u32::try_from(credit.0).unwrap_or(MOST)
}

fn limits(check: &mut Checker<'_>, config: &LimitsConfig) -> Limits {
    let second = Span::seconds(1);
    let idle = if config.idle_within == NONE {
        None
    } else {
        Some(check.span("limits.idle_within", config.idle_within, second, DAY))
    };
    let rate = ControlRate {
        per_second: config.control_frames_per_second,
        burst: config.control_frames_burst,
    };
    check.range(
        "limits.control_frames_per_second",
        &rate.per_second,
        0..=1000,
    );
    check.range("limits.control_frames_burst", &rate.burst, 1..=1_000_000);
    Limits {
        connections_max: match config.connections_max {
            // Each may need a second descriptor for its backend.
            0 => (connections_max() / 2).max(1),
            limit => limit as usize,
        },
        per_ip_max: or_no_limit(config.per_ip_max),
        handshake_within: check.span(
            "limits.handshake_within",
            config.handshake_within,
            Span::millis(100),
            Span::seconds(300),
        ),
        write_within: check.span(
            "limits.write_within",
            config.write_within,
            Span::millis(100),
            HOUR,
        ),
        ping_every: check.span("limits.ping_every", config.ping_every, second, DAY),
        idle_within: idle,
        control_rate: (rate.per_second > 0).then_some(rate),
    }
}

fn path_of(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

const NONE: Span = Span::seconds(0);
const LISTENERS_MAX: usize = 64;

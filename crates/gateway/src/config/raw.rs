//! [`Config`]: the keys as the operator writes them, unchecked.
//!
//! What a key means, its unit, its default and what it costs stand in `example.toml`, from which a test
//! takes that every key has its default there; the settings of the same name say what the
//! gateway does with it. Every struct has the defaults of the settings, for tables under a name of the
//! operator's have no layer with defaults below them.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidewire_auth::AuthConfig;
use tidewire_config::{ByteSize, LogFormat, Span};

use super::raw_endpoint::{EndpointConfig, RouteConfig, number};
use crate::settings::{Classic, Drain, Limits, Log, Mux};

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub(super) listen: String,
    pub(super) listeners: Vec<ListenerConfig>,
    pub(super) workers: u32,
    pub(super) pin_by_name: bool,
    pub(super) handover: String,
    pub(super) watch: bool,
    pub(super) access_log: String,
    pub(super) endpoints: BTreeMap<String, EndpointConfig>,
    pub(super) routes: Vec<RouteConfig>,
    pub(super) classic: ClassicConfig,
    pub(super) mux: MuxConfig,
    pub(super) limits: LimitsConfig,
    pub(super) drain: DrainConfig,
    pub(super) admin: Option<AdminConfig>,
    pub(super) log: LogConfig,
}

/// `[[listeners]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListenerConfig {
    pub(super) address: String,
    pub(super) tls: Option<TlsConfig>,
    pub(super) proxy_protocol: Vec<String>,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) http2: bool,
}

/// `[listeners.tls]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsConfig {
    pub(super) enabled: bool,
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) client_ca: String,
}

/// `[classic]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClassicConfig {
    pub(super) enabled: bool,
    pub(super) handshake_within: Span,
    pub(super) bare_ack: bool,
    pub(super) message_bytes_max: ByteSize,
    pub(super) routes_max: u32,
    pub(super) queue_bytes_max: ByteSize,
    pub(super) paths: Vec<String>,
}

/// `[mux]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MuxConfig {
    pub(super) enabled: bool,
    pub(super) streams_max: u32,
    pub(super) credit: ByteSize,
}

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsConfig {
    pub(super) connections_max: u32,
    pub(super) per_ip_max: u32,
    pub(super) handshake_within: Span,
    pub(super) write_within: Span,
    pub(super) ping_every: Span,
    pub(super) idle_within: Span,
    pub(super) control_frames_per_second: u32,
    pub(super) control_frames_burst: u32,
}

/// `[drain]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DrainConfig {
    pub(super) per_second: u32,
    pub(super) within: Span,
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdminConfig {
    pub(super) enabled: bool,
    pub(super) address: String,
    pub(super) auth: AuthConfig,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogConfig {
    pub(super) level: String,
    pub(super) format: LogFormat,
    pub(super) file: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: String::new(),
            listeners: vec![ListenerConfig::default()],
            workers: 0,
            pin_by_name: true,
            handover: String::new(),
            watch: false,
            access_log: String::new(),
            endpoints: BTreeMap::new(),
            routes: Vec::new(),
            classic: ClassicConfig::default(),
            mux: MuxConfig::default(),
            limits: LimitsConfig::default(),
            drain: DrainConfig::default(),
            admin: None,
            log: LogConfig::default(),
        }
    }
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:8090".to_owned(),
            tls: None,
            proxy_protocol: Vec::new(),
            trusted_proxies: Vec::new(),
            http2: false,
        }
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            certificate: String::new(),
            key: String::new(),
            client_ca: String::new(),
        }
    }
}

impl Default for ClassicConfig {
    fn default() -> Self {
        let default = Classic::default();
        Self {
            enabled: default.enabled,
            handshake_within: Span(default.handshake_within),
            bare_ack: default.bare_ack,
            message_bytes_max: ByteSize(default.message_bytes_max as u64),
            routes_max: number(default.routes_max),
            queue_bytes_max: ByteSize(default.queue_bytes_max as u64),
            paths: default.paths,
        }
    }
}

impl Default for MuxConfig {
    fn default() -> Self {
        let default = Mux::default();
        Self {
            enabled: default.enabled,
            streams_max: number(default.streams_max),
            credit: ByteSize(default.credit.into()),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let default = Limits::default();
        Self {
            connections_max: 0,
            per_ip_max: number(default.per_ip_max),
            handshake_within: Span(default.handshake_within),
            write_within: Span(default.write_within),
            ping_every: Span(default.ping_every),
            idle_within: Span(default.idle_within.unwrap_or_default()),
            control_frames_per_second: default.control_rate.map_or(0, |rate| rate.per_second),
            control_frames_burst: default.control_rate.unwrap_or_default().burst,
        }
    }
}

impl Default for DrainConfig {
    fn default() -> Self {
        let Drain { per_second, within } = Drain::default();
        Self {
            per_second,
            within: Span(within),
        }
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            address: "127.0.0.1:8091".to_owned(),
            auth: AuthConfig::NoAuth,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        let Log { level, format, .. } = Log::default();
        Self {
            level,
            format,
            file: String::new(),
        }
    }
}

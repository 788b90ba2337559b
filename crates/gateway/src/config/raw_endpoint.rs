//! [`EndpointConfig`] and [`RouteConfig`]: the keys of an endpoint and of a route, unchecked.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidewire_auth::AuthConfig;
use tidewire_config::{ByteSize, Span};

use super::value::{
    BalanceConfig, ExtensionsConfig, OnUnhealthyConfig, OriginsConfig, OutgoingConfig,
    OverflowConfig, PingAnswersConfig, ReplayConfig, UpstreamConfig,
};
use crate::settings::{Ejection, Extensions, Health, Opening, PingAnswers, Resume};

/// `[endpoints.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EndpointConfig {
    pub(super) aliases: Vec<String>,
    pub(super) upstreams: Vec<UpstreamConfig>,
    pub(super) balance: BalanceConfig,
    pub(super) zone: String,
    pub(super) origins: OriginsConfig,
    pub(super) connections_max: u32,
    pub(super) per_client_max: u32,
    pub(super) extensions: ExtensionsConfig,
    pub(super) pings: PingAnswersConfig,
    pub(super) preserve_host: bool,
    pub(super) proxy_protocol: OutgoingConfig,
    pub(super) request_headers: BTreeMap<String, String>,
    pub(super) auth: AuthConfig,
    pub(super) tls: Option<ClientTlsConfig>,
    pub(super) opening: OpeningConfig,
    pub(super) health: Option<HealthConfig>,
    pub(super) ejection: EjectionConfig,
    pub(super) rates: RatesConfig,
    pub(super) resume: Option<ResumeConfig>,
    pub(super) process: Option<ProcessConfig>,
}

/// `[endpoints.NAME.tls]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClientTlsConfig {
    pub(super) enabled: bool,
    pub(super) system_roots: bool,
    pub(super) ca: String,
    pub(super) server_name: String,
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) danger_unverified: bool,
}

/// `[endpoints.NAME.opening]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OpeningConfig {
    pub(super) within: Span,
    pub(super) retries: u32,
}

/// `[endpoints.NAME.health]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HealthConfig {
    pub(super) enabled: bool,
    pub(super) every: Span,
    pub(super) within: Span,
    pub(super) path: String,
    pub(super) unhealthy_after: u32,
    pub(super) healthy_after: u32,
    pub(super) on_unhealthy: OnUnhealthyConfig,
}

/// `[endpoints.NAME.ejection]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EjectionConfig {
    pub(super) enabled: bool,
    pub(super) failures: u32,
    pub(super) ejected_for: Span,
    pub(super) ejected_max: Span,
    pub(super) percent_max: u32,
}

/// `[endpoints.NAME.rates]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RatesConfig {
    pub(super) messages_per_second: u32,
    pub(super) bytes_per_second: ByteSize,
    pub(super) message_bytes_max: ByteSize,
}

/// `[endpoints.NAME.resume]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ResumeConfig {
    pub(super) enabled: bool,
    pub(super) within: Span,
    pub(super) backoff_min: Span,
    pub(super) backoff_max: Span,
    pub(super) messages_max: u32,
    pub(super) bytes_max: ByteSize,
    pub(super) overflow: OverflowConfig,
    pub(super) replay: ReplayConfig,
    pub(super) codes: Vec<u16>,
}

/// `[endpoints.NAME.process]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProcessConfig {
    pub(super) enabled: bool,
    pub(super) command: Vec<String>,
    pub(super) directory: String,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) ready_within: Span,
    pub(super) backoff_min: Span,
    pub(super) backoff_max: Span,
    pub(super) crash_loop: u32,
    pub(super) crash_window: Span,
    pub(super) stop_within: Span,
}

/// `[[routes]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RouteConfig {
    pub(super) endpoint: String,
    pub(super) path: Option<String>,
    pub(super) host: Option<String>,
    pub(super) subprotocol: Option<String>,
    pub(super) header: BTreeMap<String, String>,
    pub(super) query: BTreeMap<String, String>,
    pub(super) cookie: BTreeMap<String, String>,
    pub(super) strip_prefix: Option<String>,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            aliases: Vec::new(),
            upstreams: Vec::new(),
            balance: BalanceConfig::default(),
            zone: String::new(),
            origins: OriginsConfig::default(),
            connections_max: 0,
            per_client_max: 0,
            extensions: ExtensionsConfig(Extensions::default()),
            pings: PingAnswersConfig(PingAnswers::default()),
            preserve_host: true,
            proxy_protocol: OutgoingConfig(None),
            request_headers: BTreeMap::new(),
            auth: AuthConfig::NoAuth,
            tls: None,
            opening: OpeningConfig::default(),
            health: None,
            ejection: EjectionConfig::default(),
            rates: RatesConfig::default(),
            resume: None,
            process: None,
        }
    }
}

impl Default for ClientTlsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            system_roots: false,
            ca: String::new(),
            server_name: String::new(),
            certificate: String::new(),
            key: String::new(),
            danger_unverified: false,
        }
    }
}

impl Default for OpeningConfig {
    fn default() -> Self {
        let Opening { within, retries } = Opening::default();
        Self {
            within: Span(within),
            retries,
        }
    }
}

impl Default for HealthConfig {
    fn default() -> Self {
        let default = Health::default();
        Self {
            enabled: true,
            every: Span(default.every),
            within: Span(default.within),
            path: default.path.unwrap_or_default(),
            unhealthy_after: default.unhealthy_after,
            healthy_after: default.healthy_after,
            on_unhealthy: OnUnhealthyConfig(default.on_unhealthy),
        }
    }
}

impl Default for EjectionConfig {
    fn default() -> Self {
        let default = Ejection::default();
        Self {
            enabled: true,
            failures: default.failures,
            ejected_for: Span(default.ejected_for),
            ejected_max: Span(default.ejected_max),
            percent_max: default.percent_max,
        }
    }
}

impl Default for ResumeConfig {
    fn default() -> Self {
        let default = Resume::default();
        Self {
            enabled: true,
            within: Span(default.within),
            backoff_min: Span(default.backoff_min),
            backoff_max: Span(default.backoff_max),
            messages_max: number(default.messages_max),
            bytes_max: ByteSize(default.bytes_max as u64),
            overflow: OverflowConfig(default.overflow),
            replay: ReplayConfig(default.replay),
            codes: default.codes,
        }
    }
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            command: Vec::new(),
            directory: String::new(),
            environment: BTreeMap::new(),
            ready_within: Span::seconds(30),
            backoff_min: Span::millis(100),
            backoff_max: Span::seconds(30),
            crash_loop: 5,
            crash_window: Span::seconds(60),
            stop_within: Span::seconds(10),
        }
    }
}

/// A number of the settings as the operator writes it.
pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

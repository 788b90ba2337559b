//! [`Settings`]: the checked configuration.
//!
//! There is no other way to get one than through the checks, so what takes `Settings` checks
//! nothing again. Meaning, default and cost of a key stand where it is declared.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, OnceLock},
};

use axum::http::Uri;
use tidewire::{
    http::origin_matches,
    net::{Address, UnixOptions},
    proto::proxy::Network,
    tls::{ClientTls, ServerTls},
    ws::{ProxyProtocol, TrustedProxies},
};
use tidewire_access::Gate;
use tidewire_auth::Secret;
use tidewire_config::NearMiss;
use tidewire_hub::UserId;

use super::Config;

/// What the server runs by.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The keys, each within its range. What follows says more than they do.
    pub config: Config,
    /// The listener of the WebSocket side.
    pub server: ListenerSettings,
    /// The listener of the REST API; `None` when it is not served.
    pub rest: Option<ListenerSettings>,
    /// The listener of the admin page; `None` when it is not served.
    pub admin: Option<ListenerSettings>,
    /// The events out.
    pub events: tidewire_notify::Settings,
    /// Origins besides the server's own.
    pub allowed_origins: AllowedOrigins,
    /// Who has no limits of rates, and the backend that is asked.
    pub(crate) shaping: ShapingSettings,
    /// Settings that are allowed but deserve a line in the log at every start.
    pub warnings: Vec<Warning>,
}

/// The checked part of `server.rates` and `server.connect_hook`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShapingSettings {
    pub(crate) exempt_users: BTreeSet<UserId>,
    pub(crate) exempt_networks: Vec<Network>,
    pub(crate) hook: Option<HookSettings>,
}

/// The backend that is asked about connections.
#[derive(Clone, Debug)]
pub(crate) struct HookSettings {
    pub(crate) url: Uri,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) tls: Option<ClientTls>,
}

/// A listener.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenerSettings {
    /// Its address; port 0 picks a free one.
    pub listen: Address,
    /// Who may connect to a Unix socket.
    pub unix: UnixOptions,
    /// TLS, if the listener speaks it.
    pub tls: Option<ServerTls>,
    /// Who may connect.
    pub auth: Gate,
    /// Balancers in front that tell who connects.
    pub proxy_protocol: ProxyProtocol,
    /// HTTP proxies in front that tell who asks for what.
    pub trusted_proxies: TrustedProxies,
    /// The port that it listens on, once it does; `None` on a Unix socket.
    pub(crate) bound_port: Arc<OnceLock<Option<u16>>>,
}

impl ListenerSettings {
    /// Notes where it listens.
    pub(crate) fn bound_to(&self, address: &Address) {
        let port = address.socket_addr().map(|address| address.port());
        self.bound_port.get_or_init(|| port);
    }
}

/// Which origins may connect besides the server's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Any; never together with ambient credentials.
    Any,
    /// These origins and patterns of origins, in the spelling of browsers (lower case, no default port). May be empty.
    Only(Vec<String>),
}

impl AllowedOrigins {
    /// Returns whether a page of this origin, as in the `Origin` field, may connect.
    pub fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(_) => self
                .listed()
                .iter()
                .any(|pattern| origin_matches(pattern, origin)),
        }
    }

    /// The origins and patterns in the list.
    pub(crate) fn listed(&self) -> &[String] {
        match self {
            Self::Any => &[],
            Self::Only(origins) => origins,
        }
    }
}

/// A setting that is allowed but dangerous.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// `chat.check_sender` is off.
    SenderUnchecked,
    /// Nothing is stored: `mailbox.enabled` is off, or something is limited to 0.
    NothingStored,
    /// `server.public_without_auth` lets everybody on the network in.
    PublicWithoutAuth,
    /// `server.allowed_origins` is `["*"]`.
    AnyOrigin,
    /// A secret stands in the configuration itself.
    InlineSecret {
        /// The key of the authentication.
        key: &'static str,
    },
    /// Any web page may connect although browsers attach credentials on their own.
    AnyOriginWithCredentials,
    /// The file is wsserver's, and says something that is different here.
    Converted(String),
    /// Something about the files of TLS.
    Tls(String),
    /// A variable is almost a key.
    NearMiss(NearMiss),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SenderUnchecked => {
                f.write_str("chat.check_sender is false: every client can write as any other user")
            }
            Self::NothingStored => f.write_str(
                "mailbox.enabled is false or one of its limits is 0: messages to users who are \
                 not connected are lost",
            ),
            Self::PublicWithoutAuth => f.write_str(
                "server.public_without_auth is true: everybody who reaches the server may use it",
            ),
            Self::AnyOrigin => {
                f.write_str("server.allowed_origins is [\"*\"]: every web page may connect")
            }
            Self::AnyOriginWithCredentials => f.write_str(
                "server.danger_any_origin_with_credentials is true: every web page that a user visits can talk in the \
                 user's name",
            ),
            Self::Tls(text) | Self::Converted(text) => f.write_str(text),
            Self::NearMiss(near_miss) => near_miss.fmt(f),
            Self::InlineSecret { key } => write!(
                f,
                "{key} contains a secret: refer to it with ${{env:NAME}} or ${{file:/path}}"
            ),
        }
    }
}

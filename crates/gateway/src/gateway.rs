//! [`Gateway`]: what all connections share.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tidewire::ws::{Refusal, Request, TrustedProxies};

use crate::{
    access_log::AccessLog,
    forward, request,
    session::Sessions,
    settings::{Balance, Endpoint, HashKey, Listener, Settings},
    table::Table,
};

/// A gateway at work.
#[derive(Debug)]
pub(crate) struct Gateway {
    table: RwLock<Arc<Table>>,
    /// One reload at a time.
    reloading: Mutex<()>,
    pub(crate) sessions: Arc<Sessions>,
}

/// Who connects, and where.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    pub(crate) request: Request,
    pub(crate) client: forward::Client,
    /// Where the client connected to.
    pub(crate) listener: std::net::SocketAddr,
}

impl Gateway {
    pub(crate) fn new(settings: Settings, log: AccessLog) -> Self {
        Self {
            table: RwLock::new(Arc::new(Table::new(settings, None))),
            reloading: Mutex::default(),
            sessions: Sessions::new(log),
        }
    }

    /// The routes as they are now.
    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the routes; targets of the same name live on. Returns the table before.
    pub(crate) fn reload(&self, settings: Settings) -> Arc<Table> {
        let _one_at_a_time = self
            .reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = self.table();
        let table = Arc::new(Table::new(settings, Some(&before)));
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
        before
    }
}

impl Visitor {
    /// Reads who asks from a request that came in at `listener`.
    pub(crate) fn new(
        request: Request,
        listener: &Listener,
        address: std::net::SocketAddr,
    ) -> Self {
        let trusted = TrustedProxies {
            networks: listener.trusted_proxies.clone(),
            ..TrustedProxies::default()
        };
        let nearest = request.peer.client_address().map(|address| address.ip());
        let is_trusted = nearest.is_some_and(|ip| {
            let ip = ip.to_canonical();
            trusted.networks.iter().any(|network| network.contains(ip))
        });
        let told_secure = is_trusted
            && request::header(&request.head, "x-forwarded-proto")
                .is_some_and(|proto| matches!(proto, "https" | "wss"));
        Self {
            client: forward::Client {
                ip: tidewire::ws::client_ip(&request.peer, &request.head, &trusted),
                trusted_proxy: is_trusted,
                secure: request.peer.secure || told_secure,
            },
            request,
            listener: address,
        }
    }

    /// What the upstreams of `endpoint` are asked for this client, with `query` for them.
    pub(crate) fn ask(&self, endpoint: &Endpoint, query: Option<String>) -> crate::reach::Ask {
        let head = &self.request.head;
        let hashed = match &endpoint.balance {
            Balance::Hash(HashKey::Header(name)) => request::header(head, name).map(str::to_owned),
            Balance::Hash(HashKey::Query(name)) => {
                let value = query
                    .as_deref()
                    .and_then(|query| request::query_value(query, name));
                value.map(std::borrow::Cow::into_owned)
            }
            Balance::Hash(HashKey::Cookie(name)) => request::cookie(head, name).map(str::to_owned),
            Balance::Hash(HashKey::Ip) | Balance::RoundRobin | Balance::LeastConnections => None,
        };
        let source = self.request.peer.client_address();
        let preface = endpoint
            .proxy_protocol
            .map(|version| forward::proxy_header(version, source, self.listener));
        crate::reach::Ask {
            headers: forward::headers(head, &self.request.peer, &self.client, endpoint),
            subprotocols: Vec::new(),
            path: head.path().to_owned(),
            query,
            strip_prefix: None,
            preface: preface.unwrap_or_default().into(),
            ip: self.client.ip,
            hashed: hashed.map(String::into_bytes),
        }
    }

    /// For access records: method and path.
    pub(crate) fn request_line(&self) -> Box<str> {
        format!(
            "{} {}",
            self.request.head.method(),
            self.request.head.path()
        )
        .into()
    }
}

/// An endpoint that does not exist.
pub(crate) fn unknown(name: &str) -> Refusal {
    // Of a name that may be anything, no more than fits a line.
    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    Refusal::new(404, format!("no endpoint is called {name:?}"))
}

/// The time, as upstreams are judged by it; virtual in tests.
pub(crate) fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}

//! [`Sockets`]: WebSocket as the [protocol](crate::service::Protocol) of a service.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU64},
};

use tidewire_proto::handshake::Refusal;

use super::{
    config::ServerConfig,
    opening::{Interceptor, Opening, RefusalObserver, RefusedRequest, Wire},
};
use crate::{
    http::Fallback,
    service::Drain,
    ws::{Endpoint, Request, Topic, sessions::Sessions},
};

/// What a server speaks whose connections become WebSockets.
pub(in crate::ws) struct Sockets {
    pub(super) config: ServerConfig,
    pub(super) routes: HashMap<String, Arc<dyn Endpoint>>,
    pub(super) any: Option<Arc<dyn Endpoint>>,
    pub(super) interceptor: Option<Interceptor>,
    pub(super) fallback: Option<Fallback>,
    pub(super) health_path: Option<String>,
    pub(super) observer: Option<RefusalObserver>,
    pub(super) life: Life,
}

impl Sockets {
    /// A request that waits for its answer.
    pub(super) fn opening(&self, request: Request, wire: Wire, drain: &Drain) -> Opening {
        Opening {
            request,
            wire,
            drain: drain.clone(),
            config: Arc::clone(&self.config.socket),
            write_timeout: self.config.limits.write_timeout,
            memory: self.config.memory.clone(),
            opened: Arc::clone(&self.life.opened),
            observer: self.observer.clone(),
        }
    }

    /// Tells of a request that the server refuses by itself.
    pub(super) fn tell_refused(&self, request: &Request, refusal: &Refusal) {
        if let Some(observer) = &self.observer {
            observer(RefusedRequest { request, refusal });
        }
    }
}

/// What stays the same while a server runs, whatever is reloaded.
#[derive(Clone)]
pub(super) struct Life {
    pub(super) sessions: Sessions,
    pub(super) everyone: Topic,
    /// WebSockets opened.
    pub(super) opened: Arc<AtomicU64>,
}

impl Life {
    pub(super) fn new(config: &ServerConfig) -> Self {
        Self {
            sessions: Sessions::default(),
            everyone: Topic::new(config.everyone.clone()),
            opened: Arc::default(),
        }
    }
}

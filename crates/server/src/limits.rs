//! The settings as what bounds connections, HTTP, the hub and the store.
//!
//! In: checked settings. Out: the configurations of the parts, without anything done. A reload makes them anew.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tidewire::{
    http::{self, AnswerBudget},
    memory::MemoryBudget,
    ws::{Config as SocketConfig, HeadLimits, ServerConfig},
};
use tidewire_engine::embedded::Config as StoreConfig;
use tidewire_hub::Config as HubConfig;

use crate::{
    chat::{Behaviour, Timing},
    config::Settings,
    shaping::{accept_rate, half_open_max},
};

pub(crate) fn limits(settings: &Settings, listener: &mut ServerConfig) {
    let from = &settings.config.server.limits;
    let (connections_max, per_ip_max) = connection_limits(settings);
    listener.limits.connections_max = connections_max;
    listener.limits.per_ip_max = per_ip_max;
    let rates = &settings.config.server.rates;
    listener.limits.half_open_max = half_open_max(rates, connections_max);
    listener.limits.accept_rate = accept_rate(rates);
    listener.limits.handshake_timeout = from.handshake_timeout;
    listener.limits.head = head_limits(settings);
}

/// Most connections of a listener, in all and per address.
pub(crate) fn connection_limits(settings: &Settings) -> (usize, usize) {
    let from = &settings.config.server.limits;
    let connections_max = match from.connections_max {
        0 => tidewire_config::connections_max(),
        limit => limit as usize,
    };
    let per_ip_max = match from.connections_per_ip_max {
        0 => usize::MAX,
        limit => limit as usize,
    };
    (connections_max, per_ip_max)
}

pub(crate) fn head_limits(settings: &Settings) -> HeadLimits {
    HeadLimits {
        bytes_max: settings.config.server.limits.head_bytes_max,
        fields_max: settings.config.server.limits.headers_max,
    }
}

/// How long a peer's system may acknowledge nothing: the standstill that is allowed with pongs, twice,
/// so that the end is told by a close frame where there is still somebody to hear it.
pub(crate) fn unacknowledged_timeout(settings: &Settings) -> Duration {
    settings.config.server.keep_alive.pong_timeout * 2
}

/// Bounds the memory that all clients may hold together.
pub(crate) fn limit(memory: &MemoryBudget, settings: &Settings) {
    let limits = &settings.config.server.limits;
    let [all, one] = [limits.memory_bytes_max, limits.memory_per_connection_max]
        .map(|bytes| (bytes > 0).then_some(bytes));
    memory.set_limits(all, one);
    let (share, message) = (memory.stats().share_bytes_max, limits.message_bytes_max);
    if share < message {
        tracing::warn!(
            share,
            largest = message,
            "a connection may hold less than one largest message, so large ones are closed with 1013 while they arrive: the \
             process has little memory (see RLIMIT_AS and the control group); lower server.limits.message_bytes_max, or set \
             server.limits.memory_per_connection_max"
        );
    }
}

pub(crate) fn http_config(settings: &Settings) -> http::Config {
    let limits = &settings.config.server.limits;
    let too_many =
        r#"{"message":"too many answers are waiting to be read","status":503,"success":false}"#;
    let mut config = http::Config::default();
    // Only a connection's first request can become a WebSocket.
    config.keep_alive = false;
    config.head = head_limits(settings);
    config.head_timeout = limits.handshake_timeout;
    config.answer_timeout = limits.answer_timeout;
    config.answers =
        AnswerBudget::new(limits.answers_bytes_max).refuse_with("application/json", too_many);
    config
}

pub(crate) fn socket_config(settings: &Settings) -> SocketConfig {
    let server = &settings.config.server;
    let mut config = SocketConfig::default();
    config.message_bytes_max = server.limits.message_bytes_max;
    config.frame_bytes_max = server.limits.message_bytes_max;
    config.send_queue_bytes_max = server.limits.send_queue_bytes_max;
    config.control_rate = server.limits.control_rate();
    config.message_timeout = server.limits.message_timeout;
    config.ping_interval = server.keep_alive.ping_interval;
    config.pong_timeout = server.keep_alive.pong_timeout;
    config.silence =
        tidewire::ws::CloseFrame::new(tidewire::ws::CloseCode(4010), "Dangling connection");
    config
}

pub(crate) fn echo_config(settings: &Settings) -> SocketConfig {
    let mut config = socket_config(settings);
    let limits = &settings.config.server.echo_limits;
    config.message_bytes_max = limits.message_bytes_max;
    config.frame_bytes_max = limits.message_bytes_max;
    config.fragments_max = limits.fragments_max;
    config
}

pub(crate) fn hub_config(settings: &Settings) -> HubConfig {
    let mailbox = &settings.config.mailbox;
    let mut config = settings.config.chat.clone();
    config.stores = mailbox.stores();
    config.events = settings.events.selection.clone();
    config.trace.clone_from(&settings.config.trace);
    config.mailbox_messages_max = usize::try_from(mailbox.user_messages_max).unwrap_or(usize::MAX);
    config
}

pub(crate) fn store_config(settings: &Settings) -> StoreConfig {
    let mut config = settings.config.mailbox.clone().opened();
    config.dir = PathBuf::from(&settings.config.data_dir);
    config.outbox = settings.events.outbox.clone();
    config
}

pub(crate) fn behaviour(settings: &Settings) -> Behaviour {
    let config = &settings.config.server;
    Behaviour {
        confirm: config.confirm,
        timing: Arc::new(Timing {
            pong_timeout: config.keep_alive.pong_timeout,
            ping_interval: config.keep_alive.ping_interval,
            // The system has noticed by then that nothing is acknowledged any more.
            acknowledged_timeout: unacknowledged_timeout(settings) + Duration::from_secs(1),
            unproven_kept: config.unproven_kept_for,
        }),
        inactive_timeout: config.keep_alive.inactive_timeout,
    }
}

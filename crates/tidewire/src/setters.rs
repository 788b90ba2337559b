//! One way to change a configuration, whoever owns it: each has `Default` or `new`, public fields, and
//! for each field a method of its name that sets it and gives the configuration back: here, or beside the
//! struct where there is more to say.

use std::time::Duration;

use crate::net::{Address, UnixOptions};

macro_rules! setters {
    ($config:ty { $($(#[$attribute:meta])* $field:ident: $value:ty),+ $(,)? }) => {
        impl $config {$(
            #[doc = concat!("Sets the field `", stringify!($field), "`.")]
            $(#[$attribute])*
            #[must_use]
            pub fn $field(mut self, $field: $value) -> Self {
                self.$field = $field.into();
                self
            }
        )+}
    };
}

setters!(crate::service::Config {
    address: impl Into<Address>,
    unix: UnixOptions,
    workers: crate::service::Workers,
    proxy_protocol: crate::service::ProxyProtocol,
    trusted_proxies: crate::service::TrustedProxies,
    limits: crate::service::Limits,
    options: crate::net::SocketOptions,
    #[cfg(feature = "tls")]
    tls: impl Into<Option<crate::tls::ServerTls>>,
});

setters!(UnixOptions {
    mode: u32,
    group: impl Into<Option<u32>>,
});

setters!(crate::service::Limits {
    connections_max: usize,
    per_ip_max: usize,
    guests_max: usize,
    half_open_max: usize,
    accept_rate: impl Into<Option<crate::service::Rate>>,
    handshake_timeout: Duration,
    tls_timeout: Duration,
    unsent_bytes_max: impl Into<Option<u32>>,
    unacknowledged_timeout: impl Into<Option<Duration>>,
});

setters!(crate::net::SocketOptions {
    keep_alive: impl Into<Option<Duration>>,
    keep_alive_interval: impl Into<Option<Duration>>,
    no_delay: bool,
    reuse_address: bool,
    reuse_port: bool,
    receive_buffer_bytes: impl Into<Option<usize>>,
    send_buffer_bytes: impl Into<Option<usize>>,
});

setters!(crate::runtime::Config {
    threads: std::num::NonZeroUsize,
    design: crate::runtime::Design,
    placement: crate::runtime::Placement,
    polling: bool,
    jobs_max: usize,
    name: impl Into<String>,
    hooks: impl Into<Option<std::sync::Arc<dyn crate::runtime::Hooks>>>,
});

setters!(crate::tcp::Config {
    send_queue_bytes_max: usize,
    receive_buffer_bytes_max: usize,
    write_timeout: Duration,
    idle_timeout: impl Into<Option<Duration>>,
    close_timeout: Duration,
});

setters!(crate::tcp::BroadcastConfig {
    backlog_bytes_max: usize,
    too_slow: crate::tcp::TooSlow,
});

setters!(crate::fbe::Config {
    message_bytes_max: usize,
    log: impl Into<Option<crate::fbe::Log>>,
});

setters!(crate::fbe::ServerConfig {
    tcp: crate::tcp::ServerConfig,
    connection: crate::fbe::Config,
});

setters!(crate::tcp::ServerConfig {
    service: crate::service::Config,
    connection: crate::tcp::Config,
    broadcast: crate::tcp::BroadcastConfig,
});

setters!(crate::ws::ServerConfig {
    address: impl Into<Address>,
    unix: UnixOptions,
    workers: crate::service::Workers,
    proxy_protocol: crate::service::ProxyProtocol,
    trusted_proxies: crate::service::TrustedProxies,
    limits: crate::ws::Limits,
    socket: impl Into<std::sync::Arc<crate::ws::Config>>,
    memory: crate::memory::MemoryBudget,
    everyone: crate::ws::TopicConfig,
    #[cfg(feature = "tls")]
    tls: impl Into<Option<crate::tls::ServerTls>>,
    #[cfg(feature = "http2")]
    http2: bool,
});

setters!(crate::ws::Limits {
    connections_max: usize,
    per_ip_max: usize,
    half_open_max: usize,
    accept_rate: impl Into<Option<crate::service::Rate>>,
    handshake_timeout: Duration,
    tls_timeout: Duration,
    head: crate::ws::HeadLimits,
    #[cfg(feature = "http2")]
    streams_per_connection_max: u32,
    write_timeout: Duration,
    unsent_bytes_max: impl Into<Option<u32>>,
    unacknowledged_timeout: impl Into<Option<Duration>>,
});

setters!(crate::net::relay::RelayLimits {
    write_timeout: Duration,
    idle_timeout: impl Into<Option<Duration>>,
});

#[cfg(feature = "udp")]
setters!(crate::udp::Config {
    datagram_bytes_max: usize,
    batch_max: usize,
    send_queue_bytes_max: usize,
    receive_buffer_bytes: impl Into<Option<usize>>,
    send_buffer_bytes: impl Into<Option<usize>>,
    reuse_address: bool,
    reuse_port: bool,
    only_v6: impl Into<Option<bool>>,
    broadcast: bool,
    ttl: impl Into<Option<u32>>,
    fragment: bool,
    multicast: crate::udp::MulticastOptions,
});

#[cfg(feature = "udp")]
setters!(crate::udp::MulticastOptions {
    loopback: impl Into<Option<bool>>,
    ttl: impl Into<Option<u32>>,
    interface: impl Into<crate::udp::Interface>,
});

#[cfg(feature = "udp")]
setters!(crate::udp::ServerConfig {
    address: std::net::SocketAddr,
    workers: crate::service::Workers,
    socket: crate::udp::Config,
    multicast_to: impl Into<Option<std::net::SocketAddr>>,
});

setters!(crate::ws::TopicConfig {
    backlog_bytes_max: usize,
    too_slow: crate::ws::TooSlow,
});

setters!(crate::ws::Backoff {
    first: Duration,
    max: Duration,
});

setters!(crate::ws::OutboxLimits {
    messages_max: usize,
    bytes_max: usize,
});

#[cfg(feature = "blocking")]
setters!(crate::inbox::InboxLimits {
    messages_max: usize,
    bytes_max: usize,
});

#[cfg(feature = "blocking")]
setters!(crate::inbox::ClientConfig {
    outgoing: crate::ws::Kind,
    inbox: crate::inbox::InboxLimits,
    connect_timeout: Duration,
    socket: crate::ws::Config,
});

#[cfg(feature = "blocking")]
setters!(crate::inbox::ServerConfig {
    address: impl Into<Address>,
    sessions_max: usize,
    outgoing: crate::ws::Kind,
    inbox: crate::inbox::InboxLimits,
    threads: std::num::NonZeroUsize,
    socket: crate::ws::Config,
});

#[cfg(feature = "http")]
setters!(crate::http::Config {
    keep_alive: bool,
    head: crate::ws::HeadLimits,
    head_timeout: Duration,
    idle_timeout: Duration,
    answer_timeout: Duration,
    answers: crate::http::AnswerBudget,
    files: impl Into<Option<crate::http::FileCache>>,
    trace: bool,
    trace_date: bool,
    may_lack_host: bool,
    keep_heads: bool,
    #[cfg(feature = "http2")]
    http2: bool,
    #[cfg(feature = "http2")]
    streams_per_connection_max: u32,
});

#[cfg(feature = "http")]
setters!(crate::http::ClientConfig {
    connect_timeout: Duration,
    request_timeout: Duration,
    read_timeout: Duration,
    idle_timeout: Duration,
    idle_per_host_max: usize,
    requests_max: usize,
    head_bytes_max: usize,
    head_fields_max: usize,
    body_bytes_max: usize,
    redirects_max: usize,
    #[cfg(feature = "tls")]
    tls: impl Into<Option<crate::tls::ClientTls>>,
    address: impl Into<Option<Address>>,
    allow_address: impl Into<Option<crate::http::AllowAddress>>,
    title_case: bool,
    proxy: impl Into<Option<crate::net::Proxy>>,
    #[cfg(feature = "http2")]
    http2: bool,
    #[cfg(feature = "http2")]
    http2_prior_knowledge: bool,
});

#[cfg(feature = "http")]
setters!(crate::http::CookieOptions {
    max_age: impl Into<Option<Duration>>,
    domain: impl Into<Option<String>>,
    path: impl Into<Option<String>>,
    secure: bool,
    same_site_strict: bool,
    http_only: bool,
});

#[cfg(feature = "http")]
setters!(crate::http::CacheConfig {
    bytes_max: usize,
    file_bytes_max: usize,
    entries_max: usize,
    reload_every: impl Into<Option<Duration>>,
    index: impl Into<Option<String>>,
    precompressed: bool,
    hidden: bool,
});

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{
        service,
        ws::{Backoff, OutboxLimits},
    };

    #[test]
    fn a_configuration_is_made_by_value_in_one_expression() {
        let limits = service::Limits::default()
            .per_ip_max(7)
            .unacknowledged_timeout(Duration::from_secs(9))
            .unsent_bytes_max(None);
        assert_eq!(limits.per_ip_max, 7);
        assert_eq!(limits.unacknowledged_timeout, Some(Duration::from_secs(9)));
        assert_eq!(limits.unsent_bytes_max, None);
        assert_eq!(Backoff::default().failures_max(3).failures_max, 3);
        let outbox = OutboxLimits::default().messages_max(1).bytes_max(2);
        assert_eq!((outbox.messages_max, outbox.bytes_max), (1, 2));
    }
}

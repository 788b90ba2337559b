//! [`Config`] → [`Settings`], table by table.
//!
//! Every rule that is broken is noted and checking goes on, so that one run tells everything.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
};

use tidewire::ws::ControlRate;
use tidewire_auth::Lookup;
use tidewire_config::{ByteSize, Checker, ConfigError, LIST_LENGTH_MAX, Source, quote};

use super::{
    AllowedOrigins, ChatConfig, ChatSettings, Config, EchoLimitsConfig, EchoLimitsSettings,
    KeepAliveSettings, LimitsConfig, LimitsSettings, MailboxConfig, MailboxSettings, RestConfig,
    RestSettings, ServerConfig, ServerSettings, Settings, UnprovenSettings,
    agree::agreement,
    single::{endpoint, time_zone, tls},
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
        if self.data_dir.is_empty() {
            check.value("data_dir", &quote(""), "a directory");
        }
        let server = server(check, &self.server);
        let rest = if self.rest.enabled {
            rest(check, &self.rest)
        } else {
            None
        };
        let chat = chat(check, &self.chat);
        let mailbox = mailbox(check, &self.mailbox);
        check.log_level("log.level", &self.log.level);
        agreement(check, self, server.as_ref(), rest.as_ref());
        let mut settings = Settings {
            data_dir: PathBuf::from(&self.data_dir),
            server: server?,
            rest,
            chat: chat?,
            mailbox,
            log_level: self.log.level.clone(),
            log_format: self.log.format,
            warnings: Vec::new(),
        };
        settings.warnings = self.warnings(&settings);
        Some(settings)
    }
}

fn server(check: &mut Checker<'_>, config: &ServerConfig) -> Option<ServerSettings> {
    let listen = check.listen("server.listen", &config.listen, "127.0.0.1:8085");
    endpoint(check, &config.endpoint);
    let workers = check.count("server.workers", config.workers, 0, 1024);
    let drain = check.seconds("server.drain_seconds", config.drain_seconds, 0, 3600);
    let allowed_origins = check
        .origins("server.allowed_origins", &config.allowed_origins)
        .map_or(AllowedOrigins::Any, AllowedOrigins::Only);
    let tls = tls(check, "server.tls", &config.tls);
    let auth = check.auth("server.auth", &config.auth);
    let limits = limits(check, &config.limits);
    let echo_limits = echo_limits(check, &config.echo_limits);
    Some(ServerSettings {
        listen: listen?,
        tls,
        endpoint: config.endpoint.clone(),
        echo: config.echo,
        web_chat: config.web_chat,
        runtime: config.runtime,
        workers: NonZeroUsize::new(workers),
        allowed_origins,
        auth: auth?,
        drain,
        limits,
        echo_limits,
    })
}

fn limits(check: &mut Checker<'_>, config: &LimitsConfig) -> LimitsSettings {
    let rate = ControlRate {
        per_second: config.control_frames_per_second,
        burst: config.control_frames_burst,
    };
    check.range(
        "server.limits.control_frames_per_second",
        &rate.per_second,
        0..=1000,
    );
    check.range(
        "server.limits.control_frames_burst",
        &rate.burst,
        1..=1_000_000,
    );
    LimitsSettings {
        connections_max: NonZeroU32::new(config.connections_max),
        connections_per_ip_max: NonZeroU32::new(config.connections_per_ip_max),
        handshake_timeout: check.seconds(
            "server.limits.handshake_seconds",
            config.handshake_seconds,
            1,
            300,
        ),
        head_bytes_max: check.size(
            "server.limits.head_bytes_max",
            config.head_bytes_max,
            ByteSize::kib(1),
            ByteSize::mib(1),
        ),
        headers_max: check.count("server.limits.headers_max", config.headers_max, 8, 1024),
        send_queue_bytes_max: check.size(
            "server.limits.send_queue_bytes_max",
            config.send_queue_bytes_max,
            ByteSize::kib(16),
            ByteSize::gib(1),
        ),
        unsent_bytes_max: u32::try_from(check.size(
            "server.limits.unsent_bytes_max",
            config.unsent_bytes_max,
            ByteSize::kib(4),
            ByteSize::mib(16),
        ))
        .unwrap_or(u32::MAX),
        control_rate: (rate.per_second > 0).then_some(rate),
        answer_within: check.seconds(
            "server.limits.answer_seconds",
            config.answer_seconds,
            1,
            3600,
        ),
        answers_bytes_max: check.size(
            "server.limits.answers_bytes_max",
            config.answers_bytes_max,
            ByteSize::mib(1),
            ByteSize::gib(1),
        ),
    }
}

fn echo_limits(check: &mut Checker<'_>, config: &EchoLimitsConfig) -> EchoLimitsSettings {
    check.range(
        "server.echo_limits.fragments_max",
        &config.fragments_max,
        1..=1_000_000,
    );
    EchoLimitsSettings {
        message_bytes_max: check.size(
            "server.echo_limits.message_bytes_max",
            config.message_bytes_max,
            ByteSize(1),
            ByteSize::gib(1),
        ),
        fragments_max: config.fragments_max,
    }
}

fn rest(check: &mut Checker<'_>, config: &RestConfig) -> Option<RestSettings> {
    let listen = check.listen("rest.listen", &config.listen, "127.0.0.1:8085");
    let tls = tls(check, "rest.tls", &config.tls);
    let body_bytes_max = check.size(
        "rest.body_bytes_max",
        config.body_bytes_max,
        ByteSize::kib(1),
        ByteSize::gib(1),
    );
    let answer = check.seconds("rest.answer_seconds", config.answer_seconds, 1, 600);
    let idempotency = check.seconds(
        "rest.idempotency_seconds",
        config.idempotency_seconds,
        1,
        86_400,
    );
    let idempotency_keys_max = check.count(
        "rest.idempotency_keys_max",
        config.idempotency_keys_max,
        1,
        1_000_000,
    );
    let auth = check.auth("rest.auth", &config.auth);
    Some(RestSettings {
        listen: listen?,
        tls,
        body_bytes_max,
        answer,
        idempotency,
        idempotency_keys_max,
        auth: auth?,
    })
}

fn chat(check: &mut Checker<'_>, config: &ChatConfig) -> Option<ChatSettings> {
    let message_bytes_max = check.size(
        "chat.message_bytes_max",
        config.message_bytes_max,
        ByteSize(1),
        ByteSize::gib(1),
    );
    let ignored = &config.send_back_ignored_types;
    let send_back_ignored_types = types(check, "chat.send_back_ignored_types", ignored);
    let live_only_types = types(check, "chat.live_only_types", &config.live_only_types);
    let submissions_bytes_max = check.size(
        "chat.submissions_bytes_max",
        config.submissions_bytes_max,
        ByteSize::kib(1),
        ByteSize::gib(1),
    );
    let recipients_max = check.count("chat.recipients_max", config.recipients_max, 1, 1 << 16);
    let sessions_per_user_max = check.count(
        "chat.sessions_per_user_max",
        config.sessions_per_user_max,
        1,
        1 << 16,
    );
    let outbox_messages_max = check.count(
        "chat.outbox_messages_max",
        config.outbox_messages_max,
        1,
        1 << 20,
    );
    let outbox_bytes_max = check.size(
        "chat.outbox_bytes_max",
        config.outbox_bytes_max,
        ByteSize::kib(1),
        ByteSize::gib(1),
    );
    let keep_alive = keep_alive(check, config);
    let time_zone = time_zone(check, &config.time_zone);
    Some(ChatSettings {
        message_bytes_max,
        send_back: config.send_back,
        send_back_ignored_types,
        live_only_types,
        repeat_recipients: config.repeat_recipients,
        submissions_bytes_max,
        delivery_status: config.delivery_status,
        check_sender: config.check_sender,
        time_zone: time_zone?,
        confirm: config.confirm,
        unproven: unproven(check, config),
        recipients_max,
        sessions_per_user_max,
        outbox_messages_max,
        outbox_bytes_max,
        keep_alive,
    })
}

fn unproven(check: &mut Checker<'_>, config: &ChatConfig) -> UnprovenSettings {
    let deliveries_max = check.count(
        "chat.unproven_deliveries_max",
        config.unproven_deliveries_max,
        0,
        16,
    );
    let messages_kept = check.count(
        "chat.unproven_messages_kept",
        config.unproven_messages_kept,
        1,
        1 << 16,
    );
    let kept = check.seconds(
        "chat.unproven_kept_seconds",
        config.unproven_kept_seconds,
        0,
        86_400,
    );
    UnprovenSettings {
        deliveries_max,
        messages_kept,
        kept,
    }
}

/// A list of message types, in lower case.
fn types(check: &mut Checker<'_>, key: &str, types: &[String]) -> Vec<String> {
    if types.len() > LIST_LENGTH_MAX {
        let found = format_args!("{} types", types.len()).to_string();
        check.value(key, &found, "at most 256");
    }
    types.iter().map(|kind| kind.to_ascii_lowercase()).collect()
}

fn keep_alive(check: &mut Checker<'_>, config: &ChatConfig) -> KeepAliveSettings {
    let config = &config.keep_alive;
    let ping = check.seconds(
        "chat.keep_alive.ping_seconds",
        config.ping_seconds,
        0,
        86_400,
    );
    let pong = check.seconds(
        "chat.keep_alive.pong_seconds",
        config.pong_seconds,
        1,
        86_400,
    );
    let inactive = check.seconds(
        "chat.keep_alive.inactive_seconds",
        config.inactive_seconds,
        0,
        2_592_000,
    );
    KeepAliveSettings {
        ping_interval: (!ping.is_zero()).then_some(ping),
        pong_timeout: pong,
        inactive_timeout: (!inactive.is_zero()).then_some(inactive),
    }
}

fn mailbox(check: &mut Checker<'_>, config: &MailboxConfig) -> MailboxSettings {
    const TTL_SECONDS_MAX: u32 = 315_360_000;
    for (key, value) in [
        ("mailbox.user_messages_max", config.user_messages_max),
        ("mailbox.messages_max", config.messages_max),
        ("mailbox.sender_messages_max", config.sender_messages_max),
    ] {
        check.range(key, &value, 0..=MESSAGES_MAX);
    }
    for (key, value) in [
        ("mailbox.user_bytes_max", config.user_bytes_max),
        ("mailbox.bytes_max", config.bytes_max),
        ("mailbox.sender_bytes_max", config.sender_bytes_max),
    ] {
        check.range(key, &value, ByteSize(0)..=STORE_BYTES_MAX);
    }
    let percent = config.sender_share_percent;
    check.range("mailbox.sender_share_percent", &percent, 1..=100);
    let queue_bytes_max = check.size(
        "mailbox.queue_bytes_max",
        config.queue_bytes_max,
        ByteSize::kib(1),
        ByteSize::gib(1),
    );
    let limit = |limit: u64| if limit == 0 { u64::MAX } else { limit };
    MailboxSettings {
        stores: config.stores(),
        ttl: check.seconds(
            "mailbox.ttl_seconds",
            config.ttl_seconds,
            0,
            TTL_SECONDS_MAX,
        ),
        ttl_max: check.seconds(
            "mailbox.ttl_seconds_max",
            config.ttl_seconds_max,
            1,
            TTL_SECONDS_MAX,
        ),
        clock_jump_max: check.seconds(
            "mailbox.clock_jump_seconds_max",
            config.clock_jump_seconds_max,
            0,
            TTL_SECONDS_MAX,
        ),
        clock_confirm: check.seconds(
            "mailbox.clock_confirm_seconds",
            config.clock_confirm_seconds,
            0,
            TTL_SECONDS_MAX,
        ),
        user_messages_max: config.user_messages_max,
        user_bytes_max: config.user_bytes_max.0,
        messages_max: config.messages_max,
        bytes_max: config.bytes_max.0,
        sender_messages_max: limit(config.sender_messages_max),
        sender_bytes_max: limit(config.sender_bytes_max.0),
        sender_share_percent: u64::from(percent),
        queue_bytes_max,
    }
}

/// More messages than any disk holds; keeps sums of counts far from overflow.
const MESSAGES_MAX: u64 = 1 << 40;
/// A pebibyte, likewise.
const STORE_BYTES_MAX: ByteSize = ByteSize(1 << 50);

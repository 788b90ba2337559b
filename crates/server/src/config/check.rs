//! [`Config`] → [`Settings`], table by table.
//!
//! Every rule that is broken is noted and checking goes on, so that one run tells everything.

use std::{
    fmt::Display,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
};

use tidewire_auth::Lookup;

use super::{
    ByteSize, ChatConfig, ChatSettings, Config, ConfigError, EchoLimitsConfig, EchoLimitsSettings,
    KeepAliveSettings, LimitsConfig, LimitsSettings, MailboxConfig, MailboxSettings, RestConfig,
    RestSettings, ServerConfig, ServerSettings, Settings,
    error::{Problem, Rule, Source},
    report::quote,
    single::LIST_LENGTH_MAX,
};

impl Config {
    /// Checks every rule and looks up references to secrets.
    ///
    /// # Errors
    /// Every broken rule. The source of all values is called the default, because where this
    /// configuration came from is not known here; [`load`](super::load) knows.
    pub fn check(&self, lookup: &dyn Lookup) -> Result<Settings, ConfigError> {
        self.check_with(lookup, &|_| vec![Source::Default])
    }

    /// [`check`](Self::check) with a function that tells the sources of a key.
    pub(super) fn check_with(
        &self,
        lookup: &dyn Lookup,
        sources: &dyn Fn(&str) -> Vec<Source>,
    ) -> Result<Settings, ConfigError> {
        let mut checker = Checker {
            lookup,
            sources,
            problems: Vec::new(),
        };
        if self.data_dir.is_empty() {
            checker.value("data_dir", &quote(""), "a directory");
        }
        let server = checker.server(&self.server);
        let rest = if self.rest.enabled {
            checker.rest(&self.rest)
        } else {
            None
        };
        let chat = checker.chat(&self.chat);
        let mailbox = checker.mailbox(&self.mailbox);
        checker.log_level(&self.log.level);
        checker.agreement(self, server.as_ref(), rest.as_ref());
        if let Some(error) = ConfigError::of(checker.problems) {
            return Err(error);
        }
        let absent = "a part is only absent when a problem was noted";
        let mut settings = Settings {
            data_dir: PathBuf::from(&self.data_dir),
            server: server.expect(absent),
            rest,
            chat: chat.expect(absent),
            mailbox,
            log_level: self.log.level.clone(),
            log_format: self.log.format,
            warnings: Vec::new(),
        };
        settings.warnings = self.warnings(&settings);
        Ok(settings)
    }
}

/// Collects problems while checking.
pub(super) struct Checker<'a> {
    pub(super) lookup: &'a dyn Lookup,
    sources: &'a dyn Fn(&str) -> Vec<Source>,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    pub(super) fn complain(&mut self, key: &str, rule: Rule) {
        self.problems.push(Problem {
            sources: (self.sources)(key),
            key: key.to_owned(),
            rule,
        });
    }

    pub(super) fn value(&mut self, key: &str, found: &dyn Display, expected: &str) {
        self.complain(
            key,
            Rule::Value {
                found: found.to_string(),
                expected: expected.to_owned(),
            },
        );
    }

    fn server(&mut self, config: &ServerConfig) -> Option<ServerSettings> {
        let listen = self.listen("server.listen", &config.listen);
        self.endpoint(&config.endpoint);
        let workers = self.count("server.workers", config.workers, 0, 1024);
        let drain = self.seconds("server.drain_seconds", config.drain_seconds, 0, 3600);
        let allowed_origins = self.origins(&config.allowed_origins);
        let tls = self.tls("server.tls", &config.tls);
        let auth = self.auth("server.auth", &config.auth);
        let limits = self.limits(&config.limits);
        let echo_limits = self.echo_limits(&config.echo_limits);
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

    fn limits(&mut self, config: &LimitsConfig) -> LimitsSettings {
        LimitsSettings {
            connections_max: NonZeroU32::new(config.connections_max),
            connections_per_ip_max: NonZeroU32::new(config.connections_per_ip_max),
            handshake_timeout: self.seconds(
                "server.limits.handshake_seconds",
                config.handshake_seconds,
                1,
                300,
            ),
            head_bytes_max: self.size(
                "server.limits.head_bytes_max",
                config.head_bytes_max,
                ByteSize::kib(1),
                ByteSize::mib(1),
            ),
            headers_max: self.count("server.limits.headers_max", config.headers_max, 8, 1024),
            send_queue_bytes_max: self.size(
                "server.limits.send_queue_bytes_max",
                config.send_queue_bytes_max,
                ByteSize::kib(16),
                ByteSize::gib(1),
            ),
        }
    }

    fn echo_limits(&mut self, config: &EchoLimitsConfig) -> EchoLimitsSettings {
        self.range(
            "server.echo_limits.fragments_max",
            &config.fragments_max,
            1..=1_000_000,
        );
        EchoLimitsSettings {
            message_bytes_max: self.size(
                "server.echo_limits.message_bytes_max",
                config.message_bytes_max,
                ByteSize(1),
                ByteSize::gib(1),
            ),
            fragments_max: config.fragments_max,
        }
    }

    fn rest(&mut self, config: &RestConfig) -> Option<RestSettings> {
        let listen = self.listen("rest.listen", &config.listen);
        let tls = self.tls("rest.tls", &config.tls);
        let body_bytes_max = self.size(
            "rest.body_bytes_max",
            config.body_bytes_max,
            ByteSize::kib(1),
            ByteSize::gib(1),
        );
        let auth = self.auth("rest.auth", &config.auth);
        Some(RestSettings {
            listen: listen?,
            tls,
            body_bytes_max,
            auth: auth?,
        })
    }

    fn chat(&mut self, config: &ChatConfig) -> Option<ChatSettings> {
        let message_bytes_max = self.size(
            "chat.message_bytes_max",
            config.message_bytes_max,
            ByteSize(1),
            ByteSize::gib(1),
        );
        if config.send_back_ignored_types.len() > LIST_LENGTH_MAX {
            self.value(
                "chat.send_back_ignored_types",
                &format_args!("{} types", config.send_back_ignored_types.len()),
                "at most 256",
            );
        }
        let recipients_max = self.count("chat.recipients_max", config.recipients_max, 1, 1 << 16);
        let sessions_per_user_max = self.count(
            "chat.sessions_per_user_max",
            config.sessions_per_user_max,
            1,
            1 << 16,
        );
        let outbox_messages_max = self.count(
            "chat.outbox_messages_max",
            config.outbox_messages_max,
            1,
            1 << 20,
        );
        let outbox_bytes_max = self.size(
            "chat.outbox_bytes_max",
            config.outbox_bytes_max,
            ByteSize::kib(1),
            ByteSize::gib(1),
        );
        let keep_alive = self.keep_alive(config);
        let time_zone = self.time_zone(&config.time_zone);
        Some(ChatSettings {
            message_bytes_max,
            send_back: config.send_back,
            send_back_ignored_types: config
                .send_back_ignored_types
                .iter()
                .map(|kind| kind.to_ascii_lowercase())
                .collect(),
            delivery_status: config.delivery_status,
            check_sender: config.check_sender,
            time_zone: time_zone?,
            confirm: config.confirm,
            recipients_max,
            sessions_per_user_max,
            outbox_messages_max,
            outbox_bytes_max,
            keep_alive,
        })
    }

    fn keep_alive(&mut self, config: &ChatConfig) -> KeepAliveSettings {
        let config = &config.keep_alive;
        let ping = self.seconds(
            "chat.keep_alive.ping_seconds",
            config.ping_seconds,
            0,
            86_400,
        );
        let pong = self.seconds(
            "chat.keep_alive.pong_seconds",
            config.pong_seconds,
            1,
            86_400,
        );
        let inactive = self.seconds(
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

    fn mailbox(&mut self, config: &MailboxConfig) -> MailboxSettings {
        const TTL_SECONDS_MAX: u32 = 315_360_000;
        for (key, value) in [
            ("mailbox.user_messages_max", config.user_messages_max),
            ("mailbox.messages_max", config.messages_max),
        ] {
            if value == 0 || value > MESSAGES_MAX {
                self.value(key, &value, &format!("a number from 1 to {MESSAGES_MAX}"));
            }
        }
        for (key, value) in [
            ("mailbox.user_bytes_max", config.user_bytes_max),
            ("mailbox.bytes_max", config.bytes_max),
        ] {
            self.range(key, &value, ByteSize(1)..=STORE_BYTES_MAX);
        }
        MailboxSettings {
            ttl: self.seconds(
                "mailbox.ttl_seconds",
                config.ttl_seconds,
                1,
                TTL_SECONDS_MAX,
            ),
            ttl_max: self.seconds(
                "mailbox.ttl_seconds_max",
                config.ttl_seconds_max,
                1,
                TTL_SECONDS_MAX,
            ),
            user_messages_max: config.user_messages_max,
            user_bytes_max: config.user_bytes_max.0,
            messages_max: config.messages_max,
            bytes_max: config.bytes_max.0,
        }
    }
}

/// More messages than any disk holds; keeps sums of counts far from overflow.
const MESSAGES_MAX: u64 = 1 << 40;
/// A pebibyte, likewise.
const STORE_BYTES_MAX: ByteSize = ByteSize(1 << 50);

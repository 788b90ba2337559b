//! NATS: subjects, or JetStream.

#[cfg(feature = "nats")]
mod target; // the deliveries

use tidewire_auth::Secret;
use tidewire_config::{Checker, LIST_LENGTH_MAX, quote};
use tidewire_table::{OnceThere, table};

#[cfg(feature = "nats")]
pub use self::target::NatsTarget;
use super::access::{self, ServiceTlsConfig, Template, TlsFiles};

table! {
    /// A NATS server or cluster.
    pub struct NatsConfig {
        /// Switches the table on.
        enabled: bool = true;
        /// Servers of one cluster, each `host:port`. The one that answers first counts. At most 256.
        servers: Vec<String> = vec!["127.0.0.1:4222".to_owned()];
        /// Subject, with places for what an event has: `{kind}`, `{user}`, `{type}`; what is filled in has `_` for `.`,
        /// `*`, `>` and white space.
        subject: String = "tidewire.events.{kind}".to_owned();
        /// Publishes to JetStream: an event is taken once a stream has stored it. It knows an event that comes
        /// again by its `Nats-Msg-Id` within the `duplicate_window` of the stream. `false` = whoever listens gets it.
        jetstream: bool = true;
        /// User; empty = none.
        user: String;
        /// Password of `user`, or a reference such as `"${env:NATS_PASSWORD}"`.
        password: String;
        /// Token instead of user and password, or a reference.
        token: String;
        /// Connections at a time.
        connections: usize = 1, in 1..=64;
        tls: Option<ServiceTlsConfig> as OnceThere = None;
    }
}

/// The checked settings of a NATS target.
#[derive(Clone, Debug)]
pub(crate) struct NatsSettings {
    pub(super) servers: Vec<String>,
    pub(super) subject: Template,
    pub(super) jetstream: bool,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    pub(super) token: Option<Secret>,
    pub(super) connections: usize,
    pub(super) tls: Option<TlsFiles>,
}

/// Checks the table at `at`. `None` only when something was noted.
pub(crate) fn check(
    check: &mut Checker<'_>,
    at: &str,
    config: &NatsConfig,
) -> Option<NatsSettings> {
    let key = format!("{at}.servers");
    let mut is_sound = !config.servers.is_empty() && config.servers.len() <= LIST_LENGTH_MAX;
    if !is_sound {
        check.value(&key, &config.servers.len(), "1 to 256 servers");
    }
    for (index, server) in config.servers.iter().enumerate() {
        if !is_server(server) {
            let key = format!("{key}[{index}]");
            check.value(
                &key,
                &"another text",
                "host:port, without user and password",
            );
            is_sound = false;
        }
    }
    let key = format!("{at}.subject");
    let is_subject = !config.subject.is_empty()
        && !config
            .subject
            .contains(|c: char| c.is_whitespace() || c.is_control() || "*>".contains(c))
        && config.subject.split('.').all(|token| !token.is_empty());
    if !is_subject {
        let expected = "a subject without wildcards";
        check.value(&key, &quote(&config.subject), expected);
        is_sound = false;
    }
    let subject = Template::of(check, &key, &config.subject);
    let host = config
        .servers
        .first()
        .and_then(|server| server.rsplit_once(':'));
    let host = host.map_or("", |(host, _)| host);
    let tls = access::tls(check, at, config.tls.as_ref(), host);
    let password = access::password(check, at, &config.password);
    let token = if config.token.is_empty() {
        None
    } else {
        let token = check.secret(&format!("{at}.token"), &Secret::from(&*config.token));
        is_sound &= token.is_some();
        token
    };
    if config
        .tls
        .as_ref()
        .is_some_and(|tls| !tls.server_name.is_empty())
    {
        let key = format!("{at}.tls.server_name");
        let expected = "none: the certificate is that of the name in `servers`";
        check.value(&key, &"another text", expected);
        is_sound = false;
    }
    let (tls, password) = (tls.ok()?, password.ok()?);
    let subject = subject?;
    is_sound.then(|| NatsSettings {
        servers: config.servers.clone(),
        subject,
        jetstream: config.jetstream,
        user: config.user.clone(),
        password,
        token,
        connections: config.connections,
        tls,
    })
}

fn is_server(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    is_port
        && !host.is_empty()
        && !host.contains(|c: char| c.is_whitespace() || c.is_control() || "/@".contains(c))
}

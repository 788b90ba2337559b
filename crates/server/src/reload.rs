//! Reload of a running server.
//!
//! In: a configuration that was read again and checked. Out: listeners that serve connections to come by it, and what
//! has changed. Invariants: nothing here can fail, so a reload happens as a whole or not at all; sockets, store and
//! hub stay.

use std::{fmt, sync::Arc};

use tidewire::{http::Config, tls::Adopted};
use tidewire_engine::{Mailbox, embedded::SqliteMailbox};

use crate::{
    admin,
    config::{ListenerSettings, Reload, Settings},
    lifecycle::{Kept, Running, messaging_server, rest_server},
    limits::http_config,
    shaping::Rules,
    tickets::Tickets,
};

/// What a reload has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// Keys that have other values for connections to come.
    pub changed: Vec<String>,
    /// Tables whose certificate files have changed.
    pub certificates: Vec<&'static str>,
    /// Keys that have other values with the next start.
    pub needs_restart: Vec<String>,
}

/// On one line, for logs and the operator.
impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("changed: ", self.changed.join(", ")),
            ("certificates renewed: ", self.certificates.join(", ")),
            ("a restart is needed for ", self.needs_restart.join(", ")),
        ];
        let mut separator = "";
        for (what, names) in parts.iter().filter(|(_, names)| !names.is_empty()) {
            write!(f, "{separator}{what}{names}")?;
            separator = "; ";
        }
        if separator.is_empty() {
            f.write_str("no key and no certificate changed")?;
        }
        Ok(())
    }
}

impl Running {
    /// Serves connections to come as `reload` says; those that are open go on as they began. Cannot fail: what could
    /// was checked when `reload` was read.
    pub fn reload(&mut self, reload: Reload) -> Reloaded {
        let Reload {
            mut settings,
            changed,
            needs_restart,
        } = reload;
        let mut certificates = Vec::new();
        let listeners = [
            (
                "server",
                Some(&self.settings.server),
                Some(&mut settings.server),
            ),
            ("rest", self.settings.rest.as_ref(), settings.rest.as_mut()),
            (
                "admin",
                self.settings.admin.as_ref(),
                settings.admin.as_mut(),
            ),
        ];
        for (name, before, now) in listeners {
            if let (Some(before), Some(now)) = (before, now) {
                certificates.extend(adopt_certificate(before, now).then_some(name));
            }
        }
        let mut options = http_config(&settings);
        let bytes_max = |settings: &Settings| settings.config.server.limits.answers_bytes_max;
        if bytes_max(&settings) == bytes_max(&self.settings) {
            // Answers that wait go on counting.
            options.answers = self.answers.clone();
        }
        self.answers = options.answers.clone();
        let tickets_max = settings.config.server.limits.tickets_max;
        keep_gate(&mut settings.rest, self.settings.rest.as_ref());
        keep_gate(&mut settings.admin, self.settings.admin.as_ref());
        if settings.server.auth == self.settings.server.auth {
            // What it has learned is good as long as it asks the same.
            settings.server.auth = self.settings.server.auth.clone();
            self.tickets.bound(tickets_max);
        } else {
            // They stand for credentials that are good no more.
            self.tickets = Arc::new(Tickets::new(tickets_max));
        }
        self.shaping.reload(Rules::of(&settings));
        self.shaping.reasons.access_log().reopen();
        if let Some(messaging) = self.messaging.get() {
            let mailbox: Arc<dyn Mailbox> = Arc::<SqliteMailbox>::clone(&self.mailbox);
            let options = options.clone();
            let kept = Kept {
                memory: &self.memory,
                tickets: &self.tickets,
                shaping: &self.shaping,
            };
            let server = messaging_server(&settings, &self.hub, &mailbox, options, kept);
            messaging.reconfigure(&server);
            settings.server.bound_to(messaging.address());
        }
        self.reload_http(&settings, &options);
        self.settings = settings;
        Reloaded {
            changed,
            certificates,
            needs_restart,
        }
    }

    /// The listeners that speak HTTP alone.
    fn reload_http(&self, settings: &Settings, options: &Config) {
        let served = || (options.clone(), self.served.clone());
        if let (Some(server), Some(rest)) = (&self.rest, &settings.rest) {
            let (options, served) = served();
            server.reconfigure(&rest_server(rest, settings, options, served));
            rest.bound_to(server.address());
        }
        if let (Some(server), Some(listener)) = (&self.admin, &settings.admin) {
            let (options, served) = served();
            server.reconfigure(&admin::server(listener, settings, options, served));
            listener.bound_to(server.address());
        }
    }
}

/// Keeps a gate that asks the same as before: it knows answers that are still good.
fn keep_gate(now: &mut Option<ListenerSettings>, before: Option<&ListenerSettings>) {
    if let (Some(now), Some(before)) = (now, before)
        && now.auth == before.auth
    {
        now.auth = before.auth.clone();
    }
}

/// Uses what is in use already where the settings are the same, so that sessions of TLS can be resumed unless its files
/// have changed. Returns whether they have.
fn adopt_certificate(before: &ListenerSettings, now: &mut ListenerSettings) -> bool {
    let Some((tls, fresh)) = before.tls.as_ref().zip(now.tls.as_ref()) else {
        return false;
    };
    if tls != fresh {
        return false;
    }
    let is_renewed = tls.adopt(fresh) == Adopted::Renewed;
    now.tls = Some(tls.clone());
    is_renewed
}

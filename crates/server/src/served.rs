//! [`Served`]: the parts of the API that live as long as the server, whatever is configured meanwhile.
//!
//! In: hub, store, counters and targets. Out: the state of the handlers, for the REST listener and the admin listener
//! alike.

use std::{fmt, sync::Arc, time::Instant};

use tidewire::{http::BodyLimits, memory::MemoryBudget};
use tidewire_engine::Mailbox;
use tidewire_hub::Hub;
use tidewire_notify::Targets;

use crate::{
    access::Access,
    config::Settings,
    rest::{About, ConfigData, Idempotency, Rest},
    shaping::Shaping,
    telemetry::{Listeners, Telemetry},
};

/// The parts of the API that a reload leaves alone.
#[derive(Clone)]
pub(crate) struct Served {
    hub: Arc<Hub>,
    mailbox: Arc<dyn Mailbox>,
    telemetry: Arc<Telemetry>,
    targets: Targets,
    idempotency: Arc<Idempotency>,
    shaping: Arc<Shaping>,
    started: Instant,
    listeners: Listeners,
}

impl Served {
    pub(crate) fn new(
        settings: &Settings,
        (hub, mailbox): (&Arc<Hub>, Arc<dyn Mailbox>),
        (listeners, memory): (Listeners, &MemoryBudget),
        targets: Targets,
        shaping: &Arc<Shaping>,
    ) -> Self {
        let telemetry = Telemetry::new(
            Arc::clone(hub),
            Arc::clone(&mailbox),
            listeners.clone(),
            memory.clone(),
            Arc::clone(&shaping.reasons),
            targets.clone(),
        );
        let rest = &settings.config.rest;
        let idempotency = Idempotency::new(rest.idempotency_ttl, rest.idempotency_keys_max);
        Self {
            hub: Arc::clone(hub),
            mailbox,
            telemetry: Arc::new(telemetry),
            targets,
            idempotency: Arc::new(idempotency),
            shaping: Arc::clone(shaping),
            started: Instant::now(),
            listeners,
        }
    }

    /// Returns the state of a listener's handlers.
    pub(crate) fn state(self, settings: &Settings, access: Access) -> Rest {
        let rest = &settings.config.rest;
        Rest {
            hub: self.hub,
            mailbox: self.mailbox,
            telemetry: self.telemetry,
            targets: self.targets,
            idempotency: self.idempotency,
            shaping: self.shaping,
            blocked_users_max: settings.config.server.limits.blocked_users_max,
            access,
            body: BodyLimits::default()
                .bytes_max(rest.body_bytes_max)
                .least_rate(rest.body_timeout, rest.body_bytes_per_second_min),
            answer_timeout: rest.answer_timeout,
            about: Arc::new(About {
                started: self.started,
                listeners: self.listeners,
                config: Arc::new(ConfigData::of(settings)),
            }),
        }
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").finish_non_exhaustive()
    }
}

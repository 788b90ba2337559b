//! The settings and signals that the clients of a run share.

use std::{fmt::Display, time::Duration};

use bytes::Bytes;
use tidewire::tls::{ClientTls, TlsError};
use tokio::{sync::watch, time::Instant};

use super::super::{
    latency::Schedule,
    meter::{Meter, Plan},
    scenario::{ClientSettings, Transport},
};

/// The same for all clients.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) settings: ClientSettings,
    pub(super) plan: Plan,
    /// A message.
    pub(super) payload: Bytes,
    tls: Option<ClientTls>,
    deadline: Instant,
    stop: watch::Receiver<bool>,
}

impl Job {
    /// The clock starts now.
    pub(super) fn new(
        settings: &ClientSettings,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, TlsError> {
        let transport = settings.pair.transport();
        let tls = match &settings.ca {
            _ if !transport.is_encrypted() => None,
            Some(ca) => Some(ClientTls::with_ca(ca)?),
            None => Some(ClientTls::danger_unverified()?),
        };
        let is_sending = settings.pair.default_in_flight().is_some();
        // Saturates after centuries.
        let interval = |rate| {
            let nanos = 1_000_000_000_u64.saturating_mul(settings.clients as u64);
            Duration::from_nanos(nanos / rate)
        };
        let start = std::time::Instant::now();
        Ok(Self {
            settings: settings.clone(),
            plan: Plan {
                in_flight: if is_sending { settings.in_flight } else { 0 },
                interval: settings.rate.filter(|_| is_sending).map(interval),
                start,
            },
            payload: vec![0; settings.size].into(),
            tls,
            deadline: Instant::from_std(start) + settings.timeout,
            stop,
        })
    }

    /// Whom to trust; the pair is an encrypted one.
    pub(super) fn tls(&self) -> ClientTls {
        self.tls.clone().expect("an encrypted transport has TLS")
    }

    /// Connects again and again until the server answers or the deadline has passed.
    ///
    /// # Errors
    /// Why the last attempt failed, in words.
    pub(super) async fn until_connected<T, E, F>(
        &self,
        connect: impl Fn() -> F,
    ) -> Result<T, String>
    where
        E: std::error::Error,
        F: Future<Output = Result<T, E>>,
    {
        const PAUSE: Duration = Duration::from_millis(50);
        loop {
            match tokio::time::timeout_at(self.deadline, connect()).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) if Instant::now() + PAUSE >= self.deadline => {
                    return Err(chain(&error));
                }
                Ok(Err(_)) => tokio::time::sleep(PAUSE).await,
                Err(_elapsed) => return Err("no answer".to_owned()),
            }
        }
    }

    /// Waits until the run is over.
    pub(super) async fn stopped(&self) {
        // That nobody can say it any more is an end as well.
        self.stop.clone().wait_for(|stop| *stop).await.ok();
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// The address as it stands in a URL.
    pub(super) fn authority(&self) -> String {
        let ClientSettings { address, port, .. } = &self.settings;
        if address.contains(':') {
            format!("[{address}]:{port}")
        } else {
            format!("{address}:{port}")
        }
    }

    pub(super) fn transport(&self) -> Transport {
        self.settings.pair.transport()
    }
}

/// Sends what is due, until it cannot or the run is over. `send` returns whether it sent.
pub(super) async fn pace(job: &Job, schedule: Schedule, mut send: impl FnMut() -> bool) {
    const TICK: Duration = Duration::from_millis(1);
    let mut sent = 0;
    while !job.is_stopped() {
        let due = schedule.due(std::time::Instant::now());
        while sent < due && send() {
            sent += 1;
        }
        tokio::time::sleep(TICK).await;
    }
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    tidewire::ErrorChain(error).to_string()
}

/// Tells that a connection ended before the run did.
pub(super) fn ended(job: &Job, meter: &Meter, reason: impl Display) {
    if !job.is_stopped() {
        meter.failed(reason.to_string());
    }
}

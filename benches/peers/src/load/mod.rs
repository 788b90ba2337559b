//! The generator: many connections on one thread, cheaper than any server it loads.
//!
//! Frames are encoded before the clock starts; what comes back is counted in bytes, which is
//! exact because all messages of a scenario have one length.

mod frames; // encoded before the clock starts
mod socket; // a connection, plain or TLS
mod echo;
mod broadcast;
mod handshakes;
mod idle;
pub(crate) mod mux; // many logical sockets over few connections to a gateway
mod latency; // one message at a time, each timed

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use idle::FIRST as IDLE_FIRST;
pub(crate) use latency::{Latency, latency};

use crate::{child::Server, scenario::Work};

/// What a round measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    /// Units per second; 0 where time plays no part.
    pub(crate) rate: f64,
    /// Nanoseconds of the server's CPU per unit, or bytes of its memory per connection.
    pub(crate) cost: f64,
    /// How much of the time the server's core was busy with it, 0 to 1.
    pub(crate) busy: f64,
    /// The server's resident memory at the end, with all connections open.
    pub(crate) resident: u64,
}

/// How long a round takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Load before the measurement.
    pub(crate) warm_up: Duration,
    /// The measurement.
    pub(crate) measure: Duration,
}

/// What to connect with when TLS is on.
pub(crate) type Tls = Arc<rustls::ClientConfig>;

/// Runs a scenario once against a fresh server.
pub(crate) fn round(
    server: &Server,
    work: Work,
    times: Times,
    tls: Option<&Tls>,
) -> anyhow::Result<Figure> {
    match work {
        Work::Echo {
            connections,
            in_flight,
            size,
            kind,
        } => {
            let frames = frames::Frames::new(size, kind, in_flight);
            echo::round(server, connections, in_flight, &frames, times, tls)
        }
        Work::Multiplexed {
            connections,
            streams,
            size,
        } => mux::round(server, connections, streams, size, times),
        Work::Broadcast {
            receivers,
            in_flight,
            size,
            kind,
        } => {
            let frames = frames::Frames::new(size, kind, in_flight);
            broadcast::round(server, receivers, in_flight, &frames, times, tls)
        }
        Work::Handshakes { at_once } => handshakes::round(server, at_once, times, tls),
        Work::Idle {
            connections,
            echoes,
        } => idle::round(server, connections, echoes, tls),
    }
}

/// Decides when the measurement begins and ends, and reads the server's clock then.
pub(crate) struct Stopwatch<'a> {
    server: &'a Server,
    begin_at: Instant,
    end_at: Instant,
    begun: Option<(Instant, Duration, u64)>,
}

impl<'a> Stopwatch<'a> {
    pub(crate) fn start(server: &'a Server, times: Times) -> Self {
        let begin_at = Instant::now() + times.warm_up;
        Self {
            server,
            begin_at,
            end_at: begin_at + times.measure,
            begun: None,
        }
    }

    /// Looks at the time when `count` units are done in all; gives the figure at the end.
    pub(crate) fn look(&mut self, count: u64) -> anyhow::Result<Option<Figure>> {
        let now = Instant::now();
        let Some((began, cpu, before)) = self.begun else {
            if now >= self.begin_at {
                self.begun = Some((now, self.server.cpu()?, count));
            }
            return Ok(None);
        };
        if now < self.end_at {
            return Ok(None);
        }
        let elapsed = now.duration_since(began).as_secs_f64();
        let cpu = self.server.cpu()?.saturating_sub(cpu).as_secs_f64();
        anyhow::ensure!(
            count > before && cpu > 0.0,
            "the server was given no time; the machine is too busy"
        );
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let units = (count - before) as f64;
        Ok(Some(Figure {
            rate: units / elapsed,
            cost: cpu * 1e9 / units,
            busy: cpu / elapsed,
            resident: self.server.resident()?,
        }))
    }
}

//! What is measured, as data: one line per scenario.

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// Unique; `--only` selects by a part of it.
    pub(crate) name: &'static str,
    /// What happens.
    pub(crate) work: Work,
}

/// What happens in a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Each connection keeps `in_flight` messages of `size` bytes under way.
    Echo {
        connections: usize,
        in_flight: usize,
        size: usize,
        kind: Kind,
    },
    /// Through a gateway: each connection carries `streams` logical sockets of
    /// `tidewire.mux.v1`, each of which keeps one message of `size` bytes under way.
    Multiplexed {
        connections: usize,
        streams: usize,
        size: usize,
    },
    /// One publisher; a publication is done when all receivers have it, then the next starts.
    Broadcast {
        receivers: usize,
        in_flight: usize,
        size: usize,
        kind: Kind,
    },
    /// Connections are opened, upgraded and reset, `at_once` at a time.
    Handshakes { at_once: usize },
    /// Connections do nothing, or have done nothing since `echoes` messages of 1 KiB each.
    Idle { connections: usize, echoes: usize },
}

/// What the messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Binary.
    Binary,
    /// Text, a third of it outside of ASCII.
    Text,
    /// Bytes without WebSocket.
    Bytes,
}

impl Work {
    /// Whether a server should collect answers before it writes.
    pub(crate) fn pipelined(self) -> bool {
        matches!(self, Self::Echo { in_flight, .. } if in_flight > 1)
    }

    /// Whether there is no WebSocket.
    pub(crate) fn is_of_bytes(self) -> bool {
        matches!(
            self,
            Self::Echo { kind: Kind::Bytes, .. } | Self::Broadcast { kind: Kind::Bytes, .. }
        )
    }

    /// What is counted.
    pub(crate) fn unit(self) -> Unit {
        match self {
            Self::Echo { .. } | Self::Multiplexed { .. } => Unit::Messages,
            Self::Broadcast { .. } => Unit::Deliveries,
            Self::Handshakes { .. } => Unit::Handshakes,
            Self::Idle { .. } => Unit::Connections,
        }
    }
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Echoed messages; the cost is CPU time.
    Messages,
    /// Messages times receivers; the cost is CPU time.
    Deliveries,
    /// Upgrades; the cost is CPU time.
    Handshakes,
    /// Open connections; the cost is resident memory.
    Connections,
}

/// All scenarios, in the order of the tables.
pub(crate) const ALL: &[Scenario] = &[
    echo("echo 32 B, 1 x 1", 1, 1, 32, Kind::Binary),
    echo("echo 32 B, 100 x 1", 100, 1, 32, Kind::Binary),
    echo("echo 32 B, 1000 x 1", 1000, 1, 32, Kind::Binary),
    echo("echo 1 KiB, 1 x 1", 1, 1, 1024, Kind::Binary),
    echo("echo 1 KiB, 100 x 1", 100, 1, 1024, Kind::Binary),
    echo("echo 1 KiB, 1000 x 1", 1000, 1, 1024, Kind::Binary),
    echo("echo 32 B, 1 x 1000", 1, 1000, 32, Kind::Binary),
    echo("echo 32 B, 100 x 1000", 100, 1000, 32, Kind::Binary),
    echo("echo 1 KiB, 16 x 64", 16, 64, 1024, Kind::Binary),
    echo("echo 1 KiB text, 16 x 64", 16, 64, 1024, Kind::Text),
    echo("echo 16 KiB, 8 x 16", 8, 16, 16 * 1024, Kind::Binary),
    echo("bytes 32 B, 1 x 1", 1, 1, 32, Kind::Bytes),
    echo("bytes 32 B, 1 x 1000", 1, 1000, 32, Kind::Bytes),
    echo("bytes 32 B, 100 x 1", 100, 1, 32, Kind::Bytes),
    echo("bytes 32 B, 100 x 1000", 100, 1000, 32, Kind::Bytes),
    fan_out("bytes 32 B to 1, 100 in flight", 1, 100, 32),
    fan_out("bytes 32 B to 100, 100 in flight", 100, 100, 32),
    broadcast("broadcast 32 B to 100, 100 in flight", 100, 100, 32),
    broadcast("broadcast 1 KiB to 100, 100 in flight", 100, 100, 1024),
    broadcast("broadcast 32 B to 1000, 10 in flight", 1000, 10, 32),
    broadcast("broadcast 1 KiB to 1000, 10 in flight", 1000, 10, 1024),
    broadcast("broadcast 32 B to 10000, 1 in flight", 10_000, 1, 32),
    broadcast("broadcast 1 KiB to 10000, 1 in flight", 10_000, 1, 1024),
    Scenario {
        name: "handshakes, 64 at once",
        work: Work::Handshakes { at_once: 64 },
    },
    Scenario {
        name: "idle, 5000 connections",
        work: Work::Idle {
            connections: 5000,
            echoes: 0,
        },
    },
    Scenario {
        name: "idle after one echo, 5000 connections",
        work: Work::Idle {
            connections: 5000,
            echoes: 1,
        },
    },
];

/// A scenario of echoes.
pub(crate) const fn echo(
    name: &'static str,
    connections: usize,
    in_flight: usize,
    size: usize,
    kind: Kind,
) -> Scenario {
    let work = Work::Echo {
        connections,
        in_flight,
        size,
        kind,
    };
    Scenario { name, work }
}

const fn broadcast(
    name: &'static str,
    receivers: usize,
    in_flight: usize,
    size: usize,
) -> Scenario {
    let work = Work::Broadcast {
        receivers,
        in_flight,
        size,
        kind: Kind::Binary,
    };
    Scenario { name, work }
}

/// A broadcast without WebSocket.
const fn fan_out(
    name: &'static str,
    receivers: usize,
    in_flight: usize,
    size: usize,
) -> Scenario {
    let work = Work::Broadcast {
        receivers,
        in_flight,
        size,
        kind: Kind::Bytes,
    };
    Scenario { name, work }
}

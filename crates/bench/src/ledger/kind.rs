//! How clients behave: [`Kind`].

use std::ops::RangeInclusive;

/// A kind of client. All times are those of normal speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Reads, answers pings and talks.
    Ordinary,
    /// Takes its time for each message, and answers pings when their turn comes.
    Slow,
    /// The same, and talks meanwhile.
    SlowTalker,
    /// Goes on talking while it reads nothing for a while.
    DeafTalker,
    /// Stops reading for 11 to 14 s now and then.
    Pauses,
    /// Answers pings with empty pongs, and talks.
    EmptyPongs,
    /// Answers pings with two zero bytes and their payload, and talks.
    PrefixedPongs,
    /// Answers no pings and says nothing.
    NoPongs,
    /// Answers no pings and talks.
    NoPongsTalker,
    /// Sends empty pongs of its own accord every few seconds, and reads slowly.
    Heartbeat,
    /// Closes instead of answering the ping behind what it has read.
    Closes,
    /// Sends by REST; what gets no answer is left.
    Rest,
    /// Sends by REST; what gets no answer is sent again, as another message.
    RestRetry,
}

/// What a client answers to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pong {
    Exact,
    Empty,
    Prefixed,
    Never,
    /// Closes the connection instead.
    Close,
}

/// Times without reading.
#[derive(Clone, Debug)]
pub(super) struct Deafness {
    /// How long the client reads before, in milliseconds.
    pub(super) every: RangeInclusive<u64>,
    pub(super) lasts: RangeInclusive<u64>,
}

impl Kind {
    pub(super) fn sends_by_rest(self) -> bool {
        matches!(self, Self::Rest | Self::RestRetry)
    }

    pub(super) fn talks(self) -> bool {
        match self {
            Self::Ordinary
            | Self::SlowTalker
            | Self::DeafTalker
            | Self::EmptyPongs
            | Self::PrefixedPongs
            | Self::NoPongsTalker
            | Self::Rest
            | Self::RestRetry => true,
            Self::Slow | Self::Pauses | Self::NoPongs | Self::Heartbeat | Self::Closes => false,
        }
    }

    pub(super) fn pong(self) -> Pong {
        match self {
            Self::EmptyPongs => Pong::Empty,
            Self::PrefixedPongs => Pong::Prefixed,
            Self::NoPongs | Self::NoPongsTalker => Pong::Never,
            Self::Closes => Pong::Close,
            Self::Ordinary
            | Self::Slow
            | Self::SlowTalker
            | Self::DeafTalker
            | Self::Pauses
            | Self::Heartbeat
            | Self::Rest
            | Self::RestRetry => Pong::Exact,
        }
    }

    /// Milliseconds for each message.
    pub(super) fn handling(self) -> Option<RangeInclusive<u64>> {
        match self {
            Self::Slow | Self::SlowTalker => Some(20..=500),
            Self::Heartbeat => Some(20..=300),
            Self::Ordinary
            | Self::DeafTalker
            | Self::Pauses
            | Self::EmptyPongs
            | Self::PrefixedPongs
            | Self::NoPongs
            | Self::NoPongsTalker
            | Self::Closes
            | Self::Rest
            | Self::RestRetry => None,
        }
    }

    pub(super) fn deafness(self) -> Option<Deafness> {
        match self {
            Self::DeafTalker => Some(Deafness {
                every: 2_000..=8_000,
                lasts: 2_000..=14_000,
            }),
            Self::Pauses => Some(Deafness {
                every: 1_000..=5_000,
                lasts: 11_000..=14_000,
            }),
            Self::Ordinary
            | Self::Slow
            | Self::SlowTalker
            | Self::EmptyPongs
            | Self::PrefixedPongs
            | Self::NoPongs
            | Self::NoPongsTalker
            | Self::Heartbeat
            | Self::Closes
            | Self::Rest
            | Self::RestRetry => None,
        }
    }

    /// Milliseconds between pongs nobody asked for.
    pub(super) fn heartbeat(self) -> Option<u64> {
        (self == Self::Heartbeat).then_some(2_000)
    }
}

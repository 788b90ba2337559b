//! [`Manner`]: how a backend is to behave. A scenario picks it, the command line carries it to the child, the child obeys.

/// What a backend does with its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Manner {
    /// Sends every message back.
    Echo,
    /// Speaks neither HTTP nor WebSocket.
    Garbage,
    /// Sends far more than is taken, and reads nothing.
    Flood,
}

//! [`Fault`]: what is held against an upstream that was not opened, by who caused it.
//!
//! In: errors of openings. Out: [`Evidence`]. The rule stands in [`breaker`](super::breaker).

use std::io;

use tidewire::ws::ConnectError;

/// Something held against an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There was no connection before anything of the client's was sent: no client can have caused it.
    Unreachable,
    /// There was no answer, or none that is HTTP: the upstream may be broken, or not bear what the client has sent.
    Unanswered,
}

/// The evidence about an upstream that an opening without success gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It lives.
    Answered,
    /// It may be broken.
    Fault(Fault),
    /// The gateway itself could not ask.
    Nothing,
}

impl Evidence {
    /// The evidence in an error of an opening. `introduced`: the client's address was sent first, by a PROXY header, and the
    /// upstream may have no mind to talk with it.
    pub fn of(error: &ConnectError, introduced: bool) -> Self {
        let unreachable = Self::Fault(if introduced {
            Fault::Unanswered
        } else {
            Fault::Unreachable
        });
        match error {
            ConnectError::Io { source, .. } if is_own(source) => Self::Nothing,
            ConnectError::Io { .. } => Self::Fault(Fault::Unreachable),
            // What is in its head is too much for us, or wrong for a WebSocket: it has a status all the same.
            ConnectError::Handshake(error) if error.has_status() => Self::Answered,
            ConnectError::Refused(_) => Self::Answered,
            ConnectError::Handshake(_) | ConnectError::OtherProtocol { .. } => {
                Self::Fault(Fault::Unanswered)
            }
            ConnectError::Tls { .. }
            | ConnectError::Lost(_)
            | ConnectError::TimedOut
            | ConnectError::Proxy { .. } => unreachable,
            // The request cannot be made, or nothing is to be trusted here.
            ConnectError::Url(_)
            | ConnectError::Request(_)
            | ConnectError::SystemRoots(_)
            | ConnectError::TlsUnavailable { .. }
            | ConnectError::Runtime(_)
            | _ => Self::Nothing,
        }
    }
}

/// Returns whether the gateway's own system had no means to connect.
fn is_own(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;

    // EMFILE and ENFILE have no kind of their own; ENOBUFS is the system's memory for sockets.
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    const ENOBUFS: i32 = if cfg!(target_os = "linux") { 105 } else { 55 };
    matches!(
        error.kind(),
        Kind::OutOfMemory | Kind::AddrNotAvailable | Kind::AddrInUse
    ) || matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOBUFS))
}

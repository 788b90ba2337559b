//! [`Prompt`]: the session's wish for a line.
//!
//! In: whether there is a connection. It goes through the screen, so that what came before is shown first, and out to the
//! input, which shows its text and gives it back with the line. Invariant: a line is taken for what its prompt said,
//! even if the connection has ended since.

/// Asks for a line, and says what it will be taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    /// Commands are understood.
    Offline,
    /// Lines are messages.
    Online,
}

impl Prompt {
    ///
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Offline => "> ",
            Self::Online => "msg> ",
        }
    }
}

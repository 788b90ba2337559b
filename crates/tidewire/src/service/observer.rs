//! [`Observer`]: hooks of a whole server, whatever it speaks.

use std::error::Error;

/// Is told what happens to a server. Calls come from the server's threads, several at a time; each should return
/// quickly. `Session` is the protocol's handle of a session, for example [`tcp::Sender`](crate::tcp::Sender).
///
/// Order of the calls: [`started`](Self::started); then for each session [`connected`](Self::connected), everything of
/// the session's own hooks, [`error`](Self::error) if it failed, [`disconnected`](Self::disconnected); at last
/// [`stopped`](Self::stopped), when nothing of the server runs any more.
pub trait Observer<Session>: Send + Sync + 'static {
    /// The server listens.
    fn started(&self) {}

    /// The server has ended, and so have all its connections.
    fn stopped(&self) {}

    /// A session is open; it can be found from now on.
    fn connected(&self, session: &Session) {
        let _ = session;
    }

    /// A session is over.
    fn disconnected(&self, session: &Session) {
        let _ = session;
    }

    /// A connection failed, before or after it was open. A peer that goes away is none.
    fn error(&self, error: &(dyn Error + 'static)) {
        let _ = error;
    }
}

//! What to open: the name of an endpoint, and how.

use std::{fmt, pin::Pin, sync::Arc};

use tidewire_proto::{
    CloseCode, CloseFrame,
    mux::{CREDIT_MAX, FIRST_CREDIT_DEFAULT, FIRST_CREDIT_MIN},
};

use super::{
    LogicalSocket, OpenError,
    socket::Owner,
    stream::Opening,
    streams::{Handle, Wanted},
};

/// A logical socket that is not open yet; `.await` opens it.
///
/// # Errors
/// [`OpenError`].
///
/// # Cancel safety
/// Cancel safe: when the future is dropped, the attempt is given up, and what the gateway opened
/// meanwhile is closed.
#[must_use = "nothing is opened before it is awaited"]
pub struct Endpoint {
    handle: Arc<Handle>,
    wanted: Wanted,
    message_bytes_max: usize,
}

impl fmt::Debug for Endpoint {
    /// Without the query, which may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.wanted.name)
            .field("subprotocols", &self.wanted.subprotocols)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    pub(super) fn new(handle: Arc<Handle>, name: String) -> Self {
        Self {
            handle,
            wanted: Wanted {
                name,
                query: String::new(),
                subprotocols: Vec::new(),
                credit: FIRST_CREDIT_DEFAULT,
            },
            message_bytes_max: 16 << 20,
        }
    }

    /// What stands behind `?` of the backend's address, percent-encoded and without the `?`.
    pub fn query(mut self, query: impl Into<String>) -> Self {
        self.wanted.query = query.into();
        self
    }

    /// Offers the backend a subprotocol; call in order of preference.
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.wanted.subprotocols.push(name.into());
        self
    }

    /// How many bytes the gateway may send before this end has received them, frame headers included:
    /// what a socket that nobody receives from holds at most, and some 100 bytes for each frame. Default 65 536; from 16 390 to 2^31 - 1,
    /// what is beyond counts as that.
    pub fn credit(mut self, bytes: u32) -> Self {
        self.wanted.credit = bytes.clamp(FIRST_CREDIT_MIN, CREDIT_MAX);
        self
    }

    /// Largest message received, bytes; the socket is closed with 1009 above it. Default 16 MiB. A message
    /// larger than the credit is put together while it is received.
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = bytes;
        self
    }

    async fn open(self) -> Result<LogicalSocket, OpenError> {
        self.wanted.open(1).map_err(OpenError::Invalid)?;
        let Self {
            handle,
            wanted,
            message_bytes_max,
        } = self;
        let streams = Arc::clone(&handle.streams);
        let owner = Owner::new(handle, wanted.credit);
        let offered = wanted.subprotocols.clone();
        let name = wanted.name.clone();
        streams.want(&owner.stream, wanted)?;
        loop {
            {
                let state = owner.stream.lock();
                match &state.opening {
                    Opening::Accepted(chosen) => {
                        let chosen = chosen.clone();
                        drop(state);
                        if chosen.as_ref().is_some_and(|it| !offered.contains(it)) {
                            let why = "a subprotocol that was not offered";
                            owner.abort(CloseFrame::new(CloseCode::PROTOCOL_ERROR, why));
                            return Err(OpenError::Subprotocol);
                        }
                        return Ok(LogicalSocket::new(owner, name, chosen, message_bytes_max));
                    }
                    Opening::Failed(error) => return Err(error.clone()),
                    Opening::Waiting => {
                        if let Some(lost) = &state.lost {
                            return Err(lost.clone().into());
                        }
                    }
                }
            }
            owner.stream.readable.notified().await;
        }
    }
}

impl IntoFuture for Endpoint {
    type Output = Result<LogicalSocket, OpenError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

//! The end of the stream, after the end of the protocol: write what is left, end our direction,
//! linger until the peer has ended its own.

use std::task::{Context, Poll, ready};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{Incoming, WebSocket, timer::after};
use crate::ws::RecvError;

/// How far the end of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    No,
    /// The protocol is through: write what is queued, then end our direction.
    Writing {
        deadline: Instant,
    },
    /// Our direction has ended: read until the peer's has, so that the system does not reset
    /// the connection and take our last bytes with it.
    Lingering {
        deadline: Instant,
    },
    Done,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> WebSocket<S> {
    /// The protocol is through.
    pub(super) fn begin_end(&mut self) {
        self.inner.ending = Ending::Writing {
            deadline: after(self.inner.decoder.config().close_within),
        };
        self.inner.timer.unset();
        self.inner.input = None;
        self.inner.memberships = Vec::new();
    }

    pub(super) fn poll_end(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Incoming>, RecvError>> {
        self.register(cx);
        loop {
            let deadline = match self.inner.ending {
                Ending::Writing { deadline } => {
                    let mut locked = self.inner.shared.lock();
                    if self.inner.shared.poll_write(&mut locked, cx).is_ready()
                        && locked.poll_shutdown(cx).is_ready()
                    {
                        self.inner.ending = Ending::Lingering { deadline };
                        continue;
                    }
                    deadline
                }
                Ending::Lingering { deadline } => {
                    match self.inner.shared.lock().poll_read(cx, false) {
                        Poll::Ready(Ok(Some(_ignored))) if Instant::now() < deadline => continue,
                        Poll::Ready(_) => {
                            self.inner.ending = Ending::Done;
                            continue;
                        }
                        Poll::Pending => deadline,
                    }
                }
                Ending::Done | Ending::No => {
                    return Poll::Ready(self.inner.failed.clone().map_or(Ok(None), Err));
                }
            };
            ready!(self.inner.timer.poll(cx, deadline, None));
            self.inner.ending = Ending::Done;
        }
    }
}

//! The end of the stream, after the end of the protocol: write what is left, end our direction,
//! linger until the peer has ended its own.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::shared::SharedConnection;
use crate::net::timer::Timer;

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

impl Ending {
    /// Returns whether the protocol is through.
    #[inline]
    pub(super) fn has_begun(self) -> bool {
        self != Self::No
    }

    /// Ready when the stream has ended, or its deadline has passed.
    pub(super) fn poll<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &mut self,
        cx: &mut Context<'_>,
        shared: &Arc<SharedConnection<S>>,
        timer: &mut Timer,
    ) -> Poll<()> {
        loop {
            let deadline = match *self {
                Self::Writing { deadline } => {
                    let mut locked = shared.lock();
                    if shared.poll_write(&mut locked, cx).is_ready()
                        && locked.poll_shutdown(cx).is_ready()
                    {
                        *self = Self::Lingering { deadline };
                        continue;
                    }
                    deadline
                }
                Self::Lingering { deadline } => match shared.lock().poll_read(cx, false) {
                    Poll::Ready(Ok(Some(_ignored))) if Instant::now() < deadline => continue,
                    Poll::Ready(_) => {
                        *self = Self::Done;
                        continue;
                    }
                    Poll::Pending => deadline,
                },
                Self::Done | Self::No => return Poll::Ready(()),
            };
            ready!(timer.poll(cx, deadline, None));
            *self = Self::Done;
        }
    }
}

//! The task behind a [`Reconnecting`](super::Reconnecting) handle.
//!
//! In: settings, the outbox, the wish to close. Out: events. Invariant: every way an attempt or a
//! connection can end is told, in order, and followed by a wait or by the end of the task.

use std::time::Duration;

use tidewire_proto::CloseFrame;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep, timeout},
};

use super::{
    ClientEvent, DownReason, Reconnect,
    connected::{Connected, Ended},
    shared::Shared,
};
use crate::ws::{ConnectError, WebSocket};

pub(super) struct Task<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    pub(super) settings: Reconnect<S>,
    pub(super) shared: Shared,
}

/// However the task ends, nobody waits for it in vain.
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Drop for Task<S> {
    fn drop(&mut self) {
        self.shared.outbox.close();
        self.shared.events.close();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Task<S> {
    /// Gives the peer's close frame when the owner closed and the peer took part.
    pub(super) async fn run(mut self) -> Option<CloseFrame> {
        let mut failures = 0_u32;
        let mut attempt = 0_u32;
        loop {
            attempt = attempt.saturating_add(1);
            let began = Instant::now();
            let tried = tokio::select! {
                tried = self.settings.attempt(attempt) => tried,
                () = self.shared.idle_close() => return None,
            };
            let reason = match tried {
                Err(reason) => reason,
                Ok(socket) => {
                    let up_since = Instant::now();
                    let up = ClientEvent::Up {
                        attempt,
                        took: up_since - began,
                    };
                    attempt = 0;
                    let connected =
                        Connected::new(&self.shared, self.settings.delivery, socket, up);
                    let ended = connected.run().await;
                    self.shared.outbox.interrupted();
                    if up_since.elapsed() >= self.settings.backoff.stable_after {
                        failures = 0;
                    }
                    match ended {
                        Ended::ByUs(frame) => return frame,
                        Ended::Down(reason) => reason,
                    }
                }
            };
            let retry_in = self.settings.retry_in(&reason, failures);
            failures = failures.saturating_add(1);
            self.shared
                .events
                .push(ClientEvent::Down { reason, retry_in }, 0)
                .await;
            let wait = retry_in?;
            tokio::select! {
                () = sleep(wait) => {}
                () = self.shared.idle_close() => return None,
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Reconnect<S> {
    /// Connects and greets.
    async fn attempt(&mut self, attempt: u32) -> Result<WebSocket<S>, DownReason> {
        let connect = (self.connector)(attempt);
        let greeting = &mut self.greeting;
        let tried = timeout(self.attempt_timeout, async {
            let socket = connect.await?;
            greeting(socket).await.map_err(DownReason::Greeting)
        });
        tried
            .await
            .unwrap_or(Err(DownReason::Connect(ConnectError::TimedOut)))
    }

    /// `None` gives up.
    fn retry_in(&mut self, reason: &DownReason, failures: u32) -> Option<Duration> {
        let again = failures.saturating_add(1) < self.backoff.failures_max;
        if !again || !(self.policy)(reason) {
            return None;
        }
        let random = (self.random)();
        let retry_after = reason.retry_after();
        Some(self.backoff.wait(failures, retry_after, random))
    }
}

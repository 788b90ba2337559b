//! Hand-over: a new process takes the place of this one, with its listeners and its store.
//!
//! In: a process that asks at [`handover`](crate::config::ServerConfig::handover). Out: one of the two serves. Invariants:
//! the sockets are open in one of the processes at any time, so nobody is refused: who comes while the store changes
//! hands waits in their queues; one process at a time has the store open; what was accepted is on disk before it goes
//! on; if the new process ends before it serves, this one serves again.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tidewire::{
    net,
    ws::{CloseCode, RunningServer, Sender},
};
use tidewire_handover::{
    self as handover, Bound, HandoverError, HandoverSocket, Pace, Program, Role, Successor,
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use crate::{
    config::Settings,
    error::StartError,
    lifecycle::{Running, start_on},
};

/// As [`start`](crate::start); with [`handover`](crate::config::ServerConfig::handover) a process that runs already is
/// asked for its listeners first. It ends its sessions and closes its store, then this one begins to serve. No
/// connection is refused meanwhile.
///
/// # Errors
/// [`StartError`]; then nothing is left running, and a process that ran goes on.
///
/// # Panics
/// Outside of a tokio runtime.
///
/// # Cancel safety
/// Cancel safe: a process that runs goes on.
pub async fn start_or_take_over(settings: Settings) -> Result<Running, StartError> {
    let Some(path) = settings.config.server.handover.clone() else {
        return start_blocking(settings, Vec::new()).await;
    };
    let Some((predecessor, given)) = handover::ask(&path, Program::Server).await? else {
        let mut running = start_blocking(settings, Vec::new()).await?;
        running.handover = HandoverSocket::bind(&path)?;
        return Ok(running);
    };
    // While the other process may go on, the files of Unix sockets are its own.
    let files = given.iter().filter(|bound| bound.owns_file);
    let files: Result<Vec<_>, _> = files
        .flat_map(|bound| bound.sockets.iter().map(net::Listener::try_clone))
        .collect();
    let files = files.map_err(HandoverError::from)?;
    tracing::info!("taking over: waiting until the running process has closed the message store");
    let mut leaving = predecessor.ready(&path, RELEASED_WITHIN).await?;
    let mut running = start_blocking(settings, given).await?;
    leaving.serving().await;
    files.iter().for_each(net::Listener::own_file);
    drop(files);
    tracing::info!("the listeners and the message store were taken over");
    match HandoverSocket::bind(&path) {
        Ok(place) => running.handover = place,
        // There is no way back.
        Err(error) => tracing::error!(%error, "no process will be able to take over from this one"),
    }
    Ok(running)
}

/// Beyond the longest `server.drain_timeout`: the other process bounds it by its own.
const RELEASED_WITHIN: Duration = Duration::from_hours(2);

/// Opening a store reads it; what of `given` the settings do not name is closed.
async fn start_blocking(settings: Settings, mut given: Vec<Bound>) -> Result<Running, StartError> {
    let started = spawn_blocking(move || start_on(&settings, &mut given)).await;
    started.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_cancelled) => Err(StartError::Handover(HandoverError::TimedOut)),
    })
}

/// The sockets, with a successor that is ready.
#[derive(Debug)]
pub struct Offered {
    bound: Vec<Bound>,
}

impl Running {
    /// Waits for a process that wants to take over; for ever without the setting.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn successor(&self) -> Successor {
        self.handover.successor().await
    }

    /// Gives a successor the sockets, and waits until it is ready for the store; `None`: it is not, and nothing has
    /// changed. Bounded in time.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing has changed.
    pub async fn offer(&self, successor: &mut Successor) -> Option<Offered> {
        tracing::info!("a new process asks for the listeners");
        let given = match self.bound() {
            Ok(bound) => match successor.give(Program::Server, &bound).await {
                Ok(()) => Ok(bound),
                Err(error) => Err(error),
            },
            Err(error) => Err(error.into()),
        };
        match given {
            Ok(bound) => Some(Offered { bound }),
            Err(error) => {
                let error = tidewire::ErrorChain(&error);
                tracing::warn!(%error, "not handed over: everything stays as it was");
                None
            }
        }
    }

    /// Closes the sessions with 1012 at the pace of `server.handover_per_second`, closes the store, tells the successor
    /// and waits until it serves. Gives the server that serves on if the successor ended before.
    ///
    /// # Errors
    /// [`StartError`]: the successor has ended, and this one cannot serve again.
    ///
    /// # Cancel safety
    /// Not cancel safe: when dropped, the rest ends abruptly, as with a kill. Nothing accepted is lost.
    pub async fn succeed(
        self,
        mut successor: Successor,
        offered: Offered,
    ) -> Result<Option<Self>, StartError> {
        let Offered { bound } = offered;
        let settings = self.settings.clone();
        tracing::info!("handing over: connections are being closed");
        if !Box::pin(self.end_sessions()).await {
            tracing::warn!("some connections did not end in time and were cut");
        }
        successor.release().await;
        let served = successor.serving().await;
        let Err(error) = served else {
            for bound in &bound {
                bound.sockets.iter().for_each(net::Listener::leave_file);
            }
            tracing::info!("handed over");
            return Ok(None);
        };
        let error = tidewire::ErrorChain(&error).to_string();
        tracing::error!(error, "the new process has not begun to serve: serving on");
        let path = settings.config.server.handover.clone();
        let mut running = start_blocking(settings, bound).await?;
        if let Some(path) = path {
            running.handover = HandoverSocket::bind(&path)?;
        }
        Ok(Some(running))
    }

    /// The sockets for a successor.
    fn bound(&self) -> std::io::Result<Vec<Bound>> {
        let servers = self.messaging.get().into_iter().flatten();
        let clients = self.settings.messaging().zip(servers);
        let mut bound: Vec<Bound> = clients
            .map(|(listening, server)| {
                Bound::of(Role::Clients, listening.listen.clone(), server.listeners())
            })
            .collect::<Result<_, _>>()?;
        let http = [
            (Role::Rest, &self.settings.rest, &self.rest),
            (Role::Admin, &self.settings.admin, &self.admin),
        ];
        for (role, listening, server) in http {
            if let (Some(listening), Some(server)) = (listening, server) {
                bound.push(Bound::of(
                    role,
                    listening.listen.clone(),
                    server.listeners(),
                )?);
            }
        }
        Ok(bound)
    }

    /// Ends sessions one by one, then the rest as any stop does. Returns whether all ended in time.
    async fn end_sessions(mut self) -> bool {
        let server = &self.settings.config.server;
        let within = server.drain_timeout;
        let deadline = Instant::now() + within;
        let asked_by = deadline.checked_sub(CLOSING_WITHIN.min(within));
        let mut pace = Pace::new(server.handover_per_second, asked_by);
        for server in [&mut self.rest, &mut self.admin].into_iter().flatten() {
            server.stop_accepting();
        }
        let messaging = Arc::into_inner(std::mem::take(&mut self.messaging));
        let mut messaging = messaging.and_then(OnceLock::into_inner).unwrap_or_default();
        for server in &mut messaging {
            server.stop_accepting();
        }
        let openings_until = Instant::now() + OPENING_WITHIN;
        let closed = tokio::time::timeout_at(deadline, async {
            close_each(&messaging, &mut pace, openings_until).await;
        });
        let finished = closed.await.is_ok();
        self.messaging = Arc::new(OnceLock::from(messaging));
        // Before the hub: what is asked is still answered.
        let rest = match self.rest.take() {
            None => true,
            Some(rest) => {
                rest.drain(deadline.saturating_duration_since(Instant::now()))
                    .await
            }
        };
        self.stop().await && rest && finished
    }
}

/// Closes the sessions there are with 1012, also those that are being opened, until there is none.
async fn close_each(servers: &[RunningServer], pace: &mut Pace, openings_until: Instant) {
    let mut asked = HashSet::new();
    loop {
        let mut open: Vec<(usize, Sender)> = Vec::new();
        for (number, server) in servers.iter().enumerate() {
            let sessions = server.sessions().into_iter();
            open.extend(sessions.map(|session| (number, session)));
        }
        let is_new =
            |(number, session): &(usize, Sender)| !asked.contains(&(*number, session.id()));
        let waiting: Vec<_> = open.iter().filter(|it| is_new(it)).cloned().collect();
        for (index, (number, session)) in waiting.iter().enumerate() {
            pace.turn(waiting.len() - index).await;
            session.close(CloseCode::SERVICE_RESTART, REASON);
            asked.insert((*number, session.id()));
        }
        let connections: usize = servers
            .iter()
            .map(|server| server.stats().connections)
            .max()
            .unwrap_or(0);
        // Who has connected and says nothing does not hold up the others.
        if open.is_empty() && (connections == 0 || Instant::now() >= openings_until) {
            return;
        }
        sleep(LOOK_AGAIN_AFTER).await;
    }
}

/// The reason that clients are told.
const REASON: &str = "the server restarts; reconnect";

/// How long a close may take at the end of a drain.
const CLOSING_WITHIN: Duration = Duration::from_secs(1);

/// How long those are waited for that have connected and not yet sent a request.
const OPENING_WITHIN: Duration = Duration::from_secs(2);

/// How soon sessions are looked for that were being opened.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

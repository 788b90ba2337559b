//! Start, reload, drain, stop.
//!
//! In: settings. Out: a [`Running`] gateway. Invariants: a reload or a drain of one endpoint touches no
//! socket of another; a start or a reload that fails has changed nothing.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};

use tidewire::net::{self, Address};
use tidewire_handover::{
    self as handover, Bound, HandoverError, HandoverSocket, Pace, Program, READY_WITHIN, Role,
};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use crate::{
    admin::{self, AdminServer, Owner},
    error::{self, StartError},
    gateway::Gateway,
    lifecycle::{
        listeners::Listeners,
        reload::{Reloaded, Removals},
    },
    record::{access_log::AccessLog, pace},
    settings::Settings,
};

/// A gateway that serves clients until it is [stopped](Self::stop).
pub struct Running {
    pub(crate) gateway: Arc<Gateway>,
    /// Where a successor finds it.
    pub(crate) handover: HandoverSocket,
    /// Who has taken over, and waits for our end.
    successor: Option<handover::Successor>,
    admin: Option<AdminServer>,
    /// For the admin listener, from a predecessor.
    given: Vec<Bound>,
    /// Nobody by default.
    pub(crate) observer: Observer,
    /// Also: one reload at a time.
    parts: Mutex<Parts>,
}

/// Something that a service manager wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The configuration is about to be read again.
    Reloading,
    /// The reload is over: what has changed, or why nothing has.
    Reloaded(Result<&'a str, &'a str>),
    /// A successor serves, and is about to be told that it is alone. The drain follows, without another event.
    HandedOver {
        /// The number of its process, where the system tells it.
        pid: Option<u32>,
    },
    /// The stop begins.
    Stopping,
}

/// Is told of [`Event`]s, on the task that [operates](crate::Running::operate) the gateway: it should not block.
pub type Observer = Box<dyn Fn(Event<'_>) + Send + Sync>;

/// What a reload changes.
#[derive(Debug)]
struct Parts {
    listeners: Listeners,
    removals: Removals,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("listening", &self.listening())
            .finish_non_exhaustive()
    }
}

/// Binds all listeners and begins to serve.
///
/// # Errors
/// [`StartError`]; then nothing is left running.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn start(settings: Settings) -> Result<Running, StartError> {
    let running = start_on(settings, &mut Vec::new())?;
    running.gateway.start_processes();
    Ok(running)
}

/// As [`start`]; with [`handover`](Settings::handover) a process that runs already is asked for its
/// listeners, and drains once this one serves. No connection is refused meanwhile. The processes of the
/// endpoints are started when that process has stopped its own.
///
/// Who wants to be succeeded in turn has to [operate](Running::operate) the gateway.
///
/// # Errors
/// [`StartError`]; then nothing is left running, and the process that runs goes on.
///
/// # Panics
/// Outside of a tokio runtime.
///
/// # Cancel safety
/// Cancel safe: the process that runs goes on, unless it has let go already.
pub async fn start_or_take_over(settings: Settings) -> Result<Running, StartError> {
    let Some(path) = settings.handover.clone() else {
        return start(settings);
    };
    let Some((predecessor, mut bound)) = handover::ask(&path, Program::Gateway).await? else {
        let mut running = start(settings)?;
        running.handover = HandoverSocket::bind(&path)?;
        return Ok(running);
    };
    // While the other process may go on, the files of Unix sockets are its own.
    let files = bound.iter().filter(|bound| bound.owns_file);
    let files: Result<Vec<_>, _> = files
        .flat_map(|bound| bound.sockets.iter().map(net::Listener::try_clone))
        .collect();
    let files = files.map_err(HandoverError::from)?;
    let mut running = start_on(settings, &mut bound)?;
    // What our settings do not name is closed.
    bound.retain(|bound| bound.role == Role::Admin);
    running.given = bound;
    let leaving = predecessor.ready(&path, READY_WITHIN).await?;
    files.iter().for_each(net::Listener::own_file);
    drop(files);
    tracing::info!("the listeners were taken over");
    let gateway = Arc::downgrade(&running.gateway);
    // Bounded by the end of the other process, or of ours.
    drop(tokio::spawn(async move {
        leaving.ended().await;
        if let Some(gateway) = gateway.upgrade() {
            gateway.start_processes();
        }
    }));
    match HandoverSocket::bind(&path) {
        Ok(place) => running.handover = place,
        // There is no way back.
        Err(error) => tracing::error!(%error, "no process will be able to take over from this one"),
    }
    Ok(running)
}

/// As [`start`], on sockets that are bound already, where there are such.
pub(crate) fn start_on(settings: Settings, given: &mut Vec<Bound>) -> Result<Running, StartError> {
    let log = AccessLog::open(settings.access_log.as_ref()).map_err(StartError::AccessLog)?;
    let gateway = Arc::new(Gateway::new(settings, log, Handle::current()));
    let settings = Arc::clone(&gateway.table().settings);
    let mut listeners = Listeners::new(Arc::clone(&gateway));
    let plan = listeners.prepare(&settings, given)?;
    listeners.apply(plan, &settings, &settings);
    let removals = Removals::default();
    Ok(Running {
        gateway,
        handover: HandoverSocket::default(),
        successor: None,
        admin: None,
        given: Vec::new(),
        observer: Box::new(|_event| {}),
        parts: Mutex::new(Parts {
            listeners,
            removals,
        }),
    })
}

impl Running {
    /// Where it listens, with the ports that were picked, in the order of the settings.
    pub fn listening(&self) -> Vec<Address> {
        self.parts().listeners.addresses()
    }

    /// The IP addresses of [`listening`](Self::listening).
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let all = self.listening();
        all.iter().filter_map(Address::socket_addr).collect()
    }

    /// Begins to serve the [admin listener](crate::settings::Settings::admin), if one is wanted; `owner` is asked
    /// for what it cannot do itself. Returns its address, with the port that was picked.
    ///
    /// # Errors
    /// [`StartError`]; the gateway itself goes on.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn serve_admin(&mut self, owner: Arc<dyn Owner>) -> Result<Option<Address>, StartError> {
        let given = std::mem::take(&mut self.given);
        let settings = Arc::clone(&self.gateway.table().settings);
        let Some(admin) = &settings.admin else {
            tell_unclaimed();
            return Ok(None);
        };
        let given = given.into_iter().find(|it| it.configured == admin.address);
        let sockets = given.map(|bound| bound.sockets);
        let server = admin::start(admin, Arc::clone(&self.gateway), owner, sockets)?;
        let address = server.address().clone();
        self.admin = Some(server);
        tell_unclaimed();
        Ok(Some(address))
    }

    /// Takes other settings. New connections are made as told now; open ones stay, except those to
    /// endpoints that are gone: these are ended with 1012, at the pace of
    /// [`Drain`](crate::settings::Drain). Some settings need a restart, which the result tells.
    ///
    /// # Errors
    /// [`StartError`]; then nothing has changed.
    pub fn reload(&self, settings: Settings) -> Result<Reloaded, StartError> {
        let mut parts = self.parts();
        let Parts {
            listeners,
            removals,
        } = &mut *parts;
        let before = Arc::clone(&self.gateway.table().settings);
        let log = if settings.access_log == before.access_log {
            None
        } else {
            let log = AccessLog::open(settings.access_log.as_ref());
            Some(log.map_err(StartError::AccessLog)?)
        };
        let plan = listeners.prepare(&settings, &mut Vec::new())?;
        // From here on nothing can fail.
        match log {
            Some(log) => self.gateway.sessions.set_log(log).close(),
            None => self.gateway.sessions.log().reopen(),
        }
        let gone = self.gateway.apply(settings);
        let settings = Arc::clone(&self.gateway.table().settings);
        let listeners = listeners.apply(plan, &settings, &before);
        removals.begin(&self.gateway, &gone);
        Ok(Reloaded::new(&before, &settings, listeners))
    }

    /// Gives a successor the sockets clients connect to. Returns whether it serves them; then nothing is
    /// accepted here any more.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing has changed.
    pub(crate) async fn hand_over(&mut self, mut successor: handover::Successor) -> bool {
        tracing::info!("a new process asks for the listeners");
        let (bound, given) = match self.bound() {
            Ok(bound) => {
                let given = successor.give(Program::Gateway, &bound).await;
                (bound, given)
            }
            Err(error) => (Vec::new(), Err(error.into())),
        };
        if let Err(error) = given {
            let error = error::causes(&error);
            tracing::warn!(error, "not handed over: everything stays as it was");
            return false;
        }
        // Before the successor can know that we end, and we can.
        (self.observer)(Event::HandedOver {
            pid: successor.pid(),
        });
        self.handover.leave();
        for bound in &bound {
            bound.sockets.iter().for_each(net::Listener::leave_file);
        }
        drop(bound);
        self.parts().listeners.stop_accepting();
        if let Some(admin) = &mut self.admin {
            admin.stop_accepting();
        }
        successor.release().await;
        self.successor = Some(successor);
        tracing::info!("handed over; draining");
        true
    }

    /// The sockets for a successor.
    fn bound(&self) -> io::Result<Vec<Bound>> {
        let mut bound = self.parts().listeners.bound()?;
        let settings = Arc::clone(&self.gateway.table().settings);
        if let (Some(admin), Some(server)) = (&settings.admin, &self.admin) {
            bound.push(Bound::of(
                Role::Admin,
                admin.address.clone(),
                server.listeners(),
            )?);
        }
        Ok(bound)
    }

    /// Stops accepting, ends the sessions at the pace of [`Drain`](crate::settings::Drain) with 1012, and waits for
    /// them. Clients that speak `tidewire.mux.v1` are told first that the gateway goes away. Returns whether
    /// all ended in time.
    ///
    /// # Cancel safety
    /// Not cancel safe: when dropped, connections are cut.
    pub async fn stop(self) -> bool {
        let Self {
            gateway,
            handover,
            successor,
            admin,
            given,
            observer,
            parts,
        } = self;
        drop((given, observer));
        drop(handover);
        let Parts {
            mut listeners,
            removals,
        } = parts.into_inner();
        let removed = removals.into_targets(); // all sessions end
        let settings = Arc::clone(&gateway.table().settings);
        let started = Instant::now();
        let deadline = started + settings.drain.timeout;
        listeners.stop_accepting();
        listeners.end_until(deadline.max(started + CLOSING_WITHIN));
        gateway.draining.start();
        // What is asked last needs time for its close.
        let asked_by = (deadline - CLOSING_WITHIN.min(settings.drain.timeout)).max(started);
        let mut pace = Pace::new(settings.drain.per_second, Some(asked_by));
        let end = async {
            loop {
                let connections = |record: &crate::record::Record| record.parent.is_none();
                pace::end(&gateway.sessions, &mut pace, REASON, connections).await;
                // An opening that was under way may become a session yet.
                sleep(LOOK_AGAIN_AFTER).await;
            }
        };
        let mut finished = tokio::select! {
            finished = listeners.ended() => finished,
            () = end => false,
        };
        gateway.stop_processes(&removed).await;
        // Late, so that the end can be watched.
        if let Some(admin) = admin {
            finished &= admin.drain(CLOSING_WITHIN).await;
        }
        gateway.sessions.log().close();
        drop(successor); // its processes begin
        finished
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock()
    }
}

/// Sockets of a service manager for which there is no listener are probably a mistake.
fn tell_unclaimed() {
    if let Some(unclaimed) = tidewire_config::unclaimed_sockets() {
        tracing::warn!("{unclaimed}");
    }
}

/// What the clients are told.
const REASON: &str = "the gateway restarts";

/// How long a close may take at the end of a drain.
const CLOSING_WITHIN: Duration = Duration::from_secs(1);

/// How soon sessions are looked for that were being opened when the drain began.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

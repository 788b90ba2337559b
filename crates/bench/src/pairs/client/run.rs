//! A run: connect, measure, disconnect, report.

use std::{
    io,
    net::{IpAddr, ToSocketAddrs as _},
    sync::{Arc, atomic::Ordering, mpsc},
    thread,
    time::{Duration, Instant},
};

use tidewire::tls::TlsError;
use tokio::{sync::watch, task::JoinSet};

use super::{
    super::{
        latency::{Latencies, Recorder},
        meter::{Counts, Event, Meter},
        progress::Progress,
        report::ClientReport,
        scenario::{ClientSettings, Transport},
    },
    job::Job,
    proto::Requests,
    stream::{self, Plain},
    trace::Trace,
    udp, ws,
};
use crate::process::{self, SocketKind, Usage};

/// A run that came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The server cannot be reached.
    #[error("no server at {address}:{port} ({transport}): {reason}")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// Its port.
        port: u16,
        /// The transport.
        transport: &'static str,
        /// The error of the last attempt.
        reason: String,
    },
    /// Nothing came for the time that was allowed.
    #[error("{address}:{port} sent nothing for {seconds} s; {messages} messages came before", seconds = timeout.as_secs_f64())]
    Silent {
        /// Where the server was looked for.
        address: String,
        /// Its port.
        port: u16,
        /// For how long.
        timeout: Duration,
        /// How many there were before.
        messages: u64,
    },
    /// Every connection was lost.
    #[error("all connections were lost: {0}")]
    Lost(String),
    /// The process may not open so many sockets.
    #[error(
        "{clients} clients need {needed} file descriptors, and this process may open {limit}: raise the limit \
         (ulimit -n, as root prlimit or limits.conf), or give fewer clients (-c)"
    )]
    Descriptors {
        /// Clients that were asked for.
        clients: usize,
        /// Descriptors that are needed for them.
        needed: u64,
        /// Descriptors that can be had.
        limit: u64,
    },
    /// The certificate authorities cannot be used.
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
    /// A thread or its runtime could not be made.
    #[error("cannot start a thread")]
    Thread(#[from] io::Error),
}

/// Runs the client of a pair; blocks until it is through.
///
/// # Errors
/// [`RunError`].
pub fn run(
    settings: &ClientSettings,
    progress: &mut dyn Progress,
) -> Result<ClientReport, RunError> {
    raise_descriptors(settings.clients)?;
    let (stop, stopped) = watch::channel(false);
    let job = Arc::new(Job::new(settings, stopped)?);
    let own_before = Usage::own();
    let server = ServerProcess::find(settings);
    progress.begin(STARTING);
    let mut run = Run::start(job, stop)?;
    progress.done(STARTING);
    progress.begin(CONNECTING);
    progress.done(CONNECTING);
    run.until_connected()?;
    progress.say("All clients connected!");
    let server = server.or_else(|| ServerProcess::find(settings));

    progress.begin(MEASURING);
    let measured = run.until_measured(progress);
    let server = server.and_then(ServerProcess::usage);
    let client = own_before.and_then(|before| Some(Usage::own()?.since(before)));
    measured?;
    progress.done(MEASURING);

    progress.begin(DISCONNECTING);
    let stopped_after = run.job.plan.start.elapsed();
    run.stop();
    progress.done(DISCONNECTING);
    progress.say("All clients disconnected!");
    Ok(run.report(stopped_after, client, server))
}

/// Descriptors that a process has besides its sockets: runtimes, files, pipes.
const OTHER_DESCRIPTORS: u64 = 64;

/// Makes sure that every client may have a socket, as far as the system lets us raise the limit.
fn raise_descriptors(clients: usize) -> Result<(), RunError> {
    let needed = (clients as u64).saturating_add(OTHER_DESCRIPTORS);
    // Where the limit is unknown, there may be none.
    let limit = rlimit::increase_nofile_limit(needed).unwrap_or(u64::MAX);
    if limit < needed {
        return Err(RunError::Descriptors {
            clients,
            needed,
            limit,
        });
    }
    Ok(())
}

const STARTING: &str = "Service starting";
const CONNECTING: &str = "Clients connecting";
const MEASURING: &str = "Benchmarking";
const DISCONNECTING: &str = "Clients disconnecting";

/// The server, if it is a process that may be looked at.
#[derive(Clone, Copy, Debug)]
struct ServerProcess {
    pid: u32,
    before: Usage,
}

impl ServerProcess {
    fn find(settings: &ClientSettings) -> Option<Self> {
        let address: IpAddr = (settings.address.as_str(), settings.port)
            .to_socket_addrs()
            .ok()?
            .next()?
            .ip();
        let kind = match settings.pair.transport() {
            Transport::Udp => SocketKind::Datagram,
            Transport::Tcp
            | Transport::Tls
            | Transport::Proto
            | Transport::Ws
            | Transport::Wss
            | Transport::Http
            | Transport::Https => SocketKind::Listener,
        };
        let pid = process::serving(address, settings.port, kind)?;
        // A server in this process has no account of its own.
        let is_other = pid != std::process::id();
        let before = Usage::of(pid).filter(|_| is_other)?;
        Some(Self { pid, before })
    }

    fn usage(self) -> Option<Usage> {
        Some(Usage::of(self.pid)?.since(self.before))
    }
}

/// The threads, and what their clients tell.
struct Run {
    job: Arc<Job>,
    stop: watch::Sender<bool>,
    told: mpsc::Receiver<Event>,
    threads: Vec<thread::JoinHandle<()>>,
    recorders: Vec<Recorder>,
    counts: Vec<Arc<Counts>>,
    finished: usize,
    errors: u64,
    /// Why connections were lost, the last reason.
    lost: Option<String>,
}

impl Run {
    fn start(job: Arc<Job>, stop: watch::Sender<bool>) -> Result<Self, RunError> {
        // A client tells of its connection, of its share of messages and of its end.
        let (events, told) = mpsc::sync_channel(3 * job.settings.clients);
        let mut run = Self {
            stop,
            told,
            threads: Vec::new(),
            recorders: Vec::new(),
            counts: Vec::new(),
            finished: 0,
            errors: 0,
            lost: None,
            job,
        };
        let settings = &run.job.settings;
        let threads = settings.threads.min(settings.clients);
        for thread in 0..threads {
            let recorder = Recorder::new();
            let numbers = (thread..settings.clients).step_by(threads);
            let meters: Vec<_> = numbers
                .map(|number| Meter::new(run.job.plan, share(settings, number), &recorder, &events))
                .collect();
            run.counts.extend(meters.iter().map(Meter::counts));
            run.recorders.push(recorder);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let job = Arc::clone(&run.job);
            let thread = thread::Builder::new()
                .name(format!("client-{thread}"))
                .spawn(move || runtime.block_on(serve(job, meters)))?;
            run.threads.push(thread);
        }
        Ok(run)
    }

    /// Waits until every client has a connection.
    fn until_connected(&mut self) -> Result<(), RunError> {
        let mut connected = 0;
        while connected < self.job.settings.clients {
            match self.told.recv() {
                Ok(Event::Connected) => connected += 1,
                Ok(Event::Unreachable(reason)) => {
                    let ClientSettings { address, port, .. } = self.job.settings.clone();
                    let transport = self.job.transport().name();
                    self.stop();
                    return Err(RunError::Unreachable {
                        address,
                        port,
                        transport,
                        reason,
                    });
                }
                Ok(other) => self.note(other),
                Err(mpsc::RecvError) => break,
            }
        }
        Ok(())
    }

    /// Waits until the time is over, or all messages have come.
    fn until_measured(&mut self, progress: &mut dyn Progress) -> Result<(), RunError> {
        const TICK: Duration = Duration::from_millis(100);
        let settings = self.job.settings.clone();
        let (begin, all) = (Instant::now(), Duration::from_secs(settings.seconds));
        let (mut messages, mut moved) = (0, begin);
        while begin.elapsed() < all && self.finished < settings.clients {
            let left = all.saturating_sub(begin.elapsed());
            match self.told.recv_timeout(TICK.min(left)) {
                Ok(event) => self.note(event),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            let now = self.sum(|counts| &counts.messages);
            if now != messages {
                (messages, moved) = (now, Instant::now());
            }
            progress.advanced(begin.elapsed().as_secs_f64() / all.as_secs_f64(), now);
            let is_silent = moved.elapsed() >= settings.timeout;
            if is_silent && !self.has_only_lost() {
                self.stop();
                return Err(RunError::Silent {
                    address: settings.address,
                    port: settings.port,
                    timeout: settings.timeout,
                    messages,
                });
            }
            if self.has_only_lost() {
                self.stop();
                return Err(RunError::Lost(self.lost.take().unwrap_or_default()));
            }
        }
        Ok(())
    }

    fn has_only_lost(&self) -> bool {
        self.errors >= self.job.settings.clients as u64
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Connected => {}
            Event::Finished => self.finished += 1,
            Event::Unreachable(reason) | Event::Lost(reason) => {
                self.errors += 1;
                self.lost = Some(reason);
            }
        }
    }

    /// Lets all clients go and waits for them.
    fn stop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            // A panic was told by the thread itself.
            if thread.join().is_err() {
                self.errors += 1;
            }
        }
        while let Ok(event) = self.told.try_recv() {
            self.note(event);
        }
    }

    fn sum(&self, count: impl Fn(&Counts) -> &std::sync::atomic::AtomicU64) -> u64 {
        let counts = self.counts.iter();
        counts
            .map(|counts| count(counts).load(Ordering::Relaxed))
            .sum()
    }

    fn report(
        self,
        stopped_after: Duration,
        client: Option<Usage>,
        server: Option<Usage>,
    ) -> ClientReport {
        let last = self
            .counts
            .iter()
            .map(|counts| counts.last.load(Ordering::Relaxed));
        let mut latencies = Latencies::new();
        for recorder in &self.recorders {
            recorder.add_to(&mut latencies);
        }
        ClientReport {
            time: match last.max() {
                None | Some(0) => stopped_after,
                Some(nanos) => Duration::from_nanos(nanos),
            },
            errors: self.errors,
            bytes: self.sum(|counts| &counts.bytes),
            messages: self.sum(|counts| &counts.messages),
            lost: self.sum(|counts| &counts.lost),
            latencies,
            client,
            server,
            settings: self.job.settings.clone(),
        }
    }
}

/// The messages that client `number` has to receive.
fn share(settings: &ClientSettings, number: usize) -> u64 {
    let Some(total) = settings.messages_total else {
        return u64::MAX;
    };
    let clients = settings.clients as u64;
    total / clients + u64::from((number as u64) < total % clients)
}

/// The clients of one thread.
async fn serve(job: Arc<Job>, meters: Vec<Meter>) {
    let mut clients = JoinSet::new();
    for meter in meters {
        let job = Arc::clone(&job);
        clients.spawn(async move {
            match job.transport() {
                Transport::Ws | Transport::Wss => ws::run(job, meter).await,
                Transport::Tcp | Transport::Tls => stream::run::<Plain>(job, meter).await,
                Transport::Http | Transport::Https => stream::run::<Trace>(job, meter).await,
                Transport::Udp => udp::run(job, meter).await,
                Transport::Proto => stream::run::<Requests>(job, meter).await,
            }
        });
    }
    clients.join_all().await;
}

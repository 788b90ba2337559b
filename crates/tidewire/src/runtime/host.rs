//! [`Runtime`]: threads for servers, clients, tasks and jobs, as their owner holds them.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    thread,
};

use tokio::{runtime::Handle, sync::oneshot, task::JoinHandle};

use super::{
    Config, Design, Hooks, Placement, PostError,
    jobs::Place,
    threads::{self, Threads, Worker, tell},
};
use crate::sync::Mutex;

/// Threads with event loops. Clones are the same runtime; when the last one is dropped it stops by itself.
#[derive(Clone)]
pub struct Runtime {
    host: Arc<Host>,
}

struct Host {
    config: Config,
    id: u64,
    workers: Vec<Worker>,
    /// Tasks and connections per worker.
    loads: Vec<Arc<AtomicUsize>>,
    /// Whose turn it is.
    next: AtomicUsize,
    /// `None` once it has been stopped.
    threads: Mutex<Option<Threads>>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("config", &self.host.config)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Runtime {
    /// Returns whether both are the same runtime.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.host, &other.host)
    }
}

impl Eq for Runtime {}

/// Numbers of runtimes.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Runtime {
    /// Starts the threads.
    ///
    /// # Errors
    /// Those of the system: no thread or event loop could be made.
    pub fn start(config: Config) -> io::Result<Self> {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let (workers, threads) = match config.design {
            Design::PerThread => threads::per_thread(&config, id)?,
            Design::Pool => threads::pool(&config, id)?,
        };
        tell(config.hooks.as_ref(), Hooks::started);
        Ok(Self::new(config, id, workers, threads))
    }

    /// The event loop that runs the caller, or another one of tokio's, as a runtime: for jobs, and for servers that are
    /// configured alike. It is a pool, and [`stop`](Self::stop) only ends its jobs.
    pub fn of(handle: Handle) -> Self {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let config = Config::default().design(Design::Pool);
        let (workers, threads) = threads::foreign(handle, &config, id);
        Self::new(config, id, workers, threads)
    }

    fn new(config: Config, id: u64, workers: Vec<Worker>, threads: Threads) -> Self {
        let loads = workers.iter().map(|_worker| Arc::default()).collect();
        Self {
            host: Arc::new(Host {
                config,
                id,
                workers,
                loads,
                next: AtomicUsize::new(0),
                threads: Mutex::new(Some(threads)),
            }),
        }
    }

    /// How it was made.
    pub fn config(&self) -> &Config {
        &self.host.config
    }

    /// Returns whether it takes work.
    pub fn is_running(&self) -> bool {
        self.host.threads.lock().is_some()
    }

    /// Event loops: as many as threads, or the one of a pool.
    pub fn workers(&self) -> usize {
        self.host.workers.len()
    }

    /// The number of the event loop whose thread the caller runs on; of a pool, while one of its jobs runs.
    pub fn current_worker(&self) -> Option<usize> {
        let place = Place::current()?;
        (place.runtime == self.host.id).then_some(place.number)
    }

    /// Runs a task on one of the threads; see [`Placement`].
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.place().spawn(task)
    }

    /// Runs a task on the event loop with this number, from 0; beyond the last one they begin again.
    pub fn spawn_on<F>(&self, worker: usize, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.slot(worker).spawn(task)
    }

    /// Queues a function. It runs on a thread of this runtime behind everything queued there before, never at once: on
    /// the caller's thread if that is one of them, else where the [placement](Config::placement) says. The functions of
    /// a thread, and all those of a pool, run one at a time, in order.
    ///
    /// # Errors
    /// [`PostError`]; it will not run.
    pub fn post(&self, job: impl FnOnce() + Send + 'static) -> Result<(), PostError> {
        self.job_worker().jobs.post(job)
    }

    /// As [`post`](Self::post), on the event loop with this number.
    ///
    /// # Errors
    /// [`PostError`]; it will not run.
    pub fn post_on(
        &self,
        worker: usize,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), PostError> {
        self.worker(worker).jobs.post(job)
    }

    /// Runs a function at once if the caller is on a thread of this runtime already (of a pool: in one of its jobs), else
    /// as [`post`](Self::post).
    ///
    /// # Errors
    /// [`PostError`]; it has not run and will not.
    pub fn dispatch(&self, job: impl FnOnce() + Send + 'static) -> Result<(), PostError> {
        self.job_worker().jobs.dispatch(job)
    }

    /// As [`dispatch`](Self::dispatch), on the event loop with this number.
    ///
    /// # Errors
    /// [`PostError`]; it has not run and will not.
    pub fn dispatch_on(
        &self,
        worker: usize,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), PostError> {
        self.worker(worker).jobs.dispatch(job)
    }

    fn job_worker(&self) -> &Worker {
        let number = self.current_worker();
        self.worker(number.unwrap_or_else(|| self.choose()))
    }

    /// Waits for a future, which runs on the calling thread.
    ///
    /// # Panics
    /// Where async code runs.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.worker(0).handle.block_on(future)
    }

    /// Takes no more work, runs the jobs that wait, drops the tasks with their connections, and waits until all threads
    /// have ended. On one of these threads, and where the runtime has stopped, it does not wait.
    pub fn stop(&self) {
        if let Some(stopping) = self.begin_stop()
            && self.current_worker().is_none()
            && stopping.join().is_err()
        {
            tracing::error!("the end of a runtime panicked");
        }
    }

    /// As [`stop`](Self::stop), for async code.
    ///
    /// # Cancel safety
    /// Cancel safe: it stops anyway.
    pub async fn stopped(&self) {
        let (sender, receiver) = oneshot::channel();
        let runtime = self.clone();
        let waiting = thread::Builder::new().spawn(move || {
            runtime.stop();
            sender.send(()).ok();
        });
        if waiting.is_ok() {
            receiver.await.ok();
        }
    }

    /// Stops it and starts another one like it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&self) -> io::Result<Self> {
        self.stop();
        Self::start(self.host.config.clone())
    }

    /// A thread of its own waits for the others, so that anybody can stop them.
    fn begin_stop(&self) -> Option<thread::JoinHandle<()>> {
        let threads = self.host.threads.lock().take()?;
        self.host.close();
        let hooks = self.host.config.hooks.clone();
        let join = move || {
            threads.join();
            tell(hooks.as_ref(), Hooks::stopped);
        };
        thread::Builder::new().spawn(join).ok()
    }

    fn worker(&self, number: usize) -> &Worker {
        &self.host.workers[number % self.host.workers.len()]
    }

    /// The worker for what is bound to none.
    fn choose(&self) -> usize {
        let host = &*self.host;
        let turn = host.next.fetch_add(1, Ordering::Relaxed) % host.workers.len();
        match host.config.placement {
            Placement::RoundRobin | Placement::System => turn,
            Placement::LeastLoaded => {
                // From whose turn it is on, so that equals take turns.
                let all = (0..host.workers.len()).map(|it| (turn + it) % host.workers.len());
                all.min_by_key(|it| host.loads[*it].load(Ordering::Relaxed))
                    .unwrap_or(turn)
            }
        }
    }
}

/// A place for a connection or a task.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) handle: Handle,
    load: Arc<AtomicUsize>,
}

impl Slot {
    fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.handle.spawn(Loaded {
            task: Box::pin(task),
            _load: self.load(),
        })
    }

    /// Counts something there until it is dropped.
    pub(crate) fn load(&self) -> Load {
        Load::new(&self.load)
    }
}

/// For servers.
impl Runtime {
    /// The next place by the placement.
    pub(crate) fn place(&self) -> Slot {
        self.slot(self.choose())
    }

    /// The place with this number.
    pub(crate) fn slot(&self, number: usize) -> Slot {
        Slot {
            handle: self.worker(number).handle.clone(),
            load: Arc::clone(&self.host.loads[number % self.host.loads.len()]),
        }
    }

    /// Returns whether the system spreads connections, or there is nothing to spread.
    pub(crate) fn is_spread_by_system(&self) -> bool {
        self.workers() == 1 || self.host.config.placement == Placement::System
    }
}

impl Host {
    fn close(&self) {
        self.workers.iter().for_each(|worker| worker.jobs.close());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.close();
        if let Some(threads) = self.threads.get_mut().take() {
            threads.leave();
        }
    }
}

/// Counts something for a worker.
#[derive(Debug)]
pub(crate) struct Load(Arc<AtomicUsize>);

impl Load {
    fn new(load: &Arc<AtomicUsize>) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A task that counts.
struct Loaded<F> {
    task: Pin<Box<F>>,
    _load: Load,
}

impl<F: Future> Future for Loaded<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.task.as_mut().poll(cx)
    }
}

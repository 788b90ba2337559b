//! Event loops, and the threads that run them.

use std::{io, sync::Arc, thread};

use tokio::runtime::{Builder, Handle};

use super::{
    Config, EventLoop, Hooks,
    jobs::{Jobs, Place},
};

/// An event loop with its jobs.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) handle: Handle,
    pub(super) jobs: Jobs,
}

/// The threads that end with a runtime.
#[derive(Debug)]
pub(super) enum Threads {
    PerThread(Vec<thread::JoinHandle<()>>),
    Pool(tokio::runtime::Runtime),
    /// Somebody else's.
    Foreign,
}

impl Threads {
    /// Ends them, and waits for that.
    pub(super) fn join(self) {
        match self {
            Self::PerThread(threads) => {
                for thread in threads {
                    if thread.join().is_err() {
                        tracing::error!("a thread of a runtime panicked");
                    }
                }
            }
            // Work that blocks in it is not waited for.
            Self::Pool(pool) => pool.shutdown_timeout(std::time::Duration::from_secs(1)),
            Self::Foreign => {}
        }
    }

    /// Lets them end by themselves.
    pub(super) fn leave(self) {
        match self {
            Self::Pool(pool) => pool.shutdown_background(),
            Self::PerThread(_) | Self::Foreign => {}
        }
    }
}

/// A thread with an event loop of its own for each worker.
pub(super) fn per_thread(config: &Config, runtime: u64) -> io::Result<(Vec<Worker>, Threads)> {
    let mut workers: Vec<Worker> = Vec::new();
    let mut threads = Vec::new();
    for number in 0..config.threads.get() {
        let started = start_thread(config, Place { runtime, number });
        let (worker, thread) = match started {
            Ok(started) => started,
            Err(error) => {
                for worker in &workers {
                    worker.jobs.close();
                }
                return Err(error);
            }
        };
        workers.push(worker);
        threads.push(thread);
    }
    Ok((workers, Threads::PerThread(threads)))
}

fn start_thread(config: &Config, place: Place) -> io::Result<(Worker, thread::JoinHandle<()>)> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    tell_idle(&mut builder, config);
    let event_loop = EventLoop::build(&mut builder)?;
    let hooks = config.hooks.clone();
    let jobs = Jobs::new(config.jobs_max, place, hooks.clone());
    let worker = Worker {
        handle: event_loop.handle().clone(),
        jobs: jobs.clone(),
    };
    let is_polling = config.polling;
    let thread = thread::Builder::new()
        .name(format!("{}-{}", config.name, place.number))
        .spawn(move || {
            place.enter();
            tell(hooks.as_ref(), Hooks::thread_started);
            // All tasks end with it.
            event_loop.run(async {
                if is_polling {
                    tokio::spawn(spin(hooks.clone()));
                }
                jobs.run().await;
            });
            tell(hooks.as_ref(), Hooks::thread_stopped);
        })?;
    Ok((worker, thread))
}

/// One event loop that all threads share.
pub(super) fn pool(config: &Config, runtime: u64) -> io::Result<(Vec<Worker>, Threads)> {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(config.threads.get())
        .thread_name(config.name.clone())
        .enable_all();
    tell_idle(&mut builder, config);
    if let Some(hooks) = &config.hooks {
        let (starting, stopping) = (Arc::clone(hooks), Arc::clone(hooks));
        builder.on_thread_start(move || starting.thread_started());
        builder.on_thread_stop(move || stopping.thread_stopped());
    }
    let pool = builder.build()?;
    let place = Place { runtime, number: 0 };
    let jobs = Jobs::new(config.jobs_max, place, config.hooks.clone());
    pool.spawn(jobs.clone().run());
    if config.polling {
        pool.spawn(spin(config.hooks.clone()));
    }
    let worker = Worker {
        handle: pool.handle().clone(),
        jobs,
    };
    Ok((vec![worker], Threads::Pool(pool)))
}

/// Somebody else's event loop.
pub(super) fn foreign(handle: Handle, config: &Config, runtime: u64) -> (Vec<Worker>, Threads) {
    let place = Place { runtime, number: 0 };
    let jobs = Jobs::new(config.jobs_max, place, None);
    handle.spawn(jobs.clone().run());
    (vec![Worker { handle, jobs }], Threads::Foreign)
}

fn tell_idle(builder: &mut Builder, config: &Config) {
    if let Some(hooks) = &config.hooks
        && !config.polling
    {
        let hooks = Arc::clone(hooks);
        builder.on_thread_park(move || hooks.idle());
    }
}

/// Keeps a thread from sleeping; everything else has its turn in between.
#[expect(clippy::infinite_loop, reason = "ends with its event loop")]
async fn spin(hooks: Option<Arc<dyn Hooks>>) {
    loop {
        tell(hooks.as_ref(), Hooks::idle);
        tokio::task::yield_now().await;
    }
}

pub(super) fn tell(hooks: Option<&Arc<dyn Hooks>>, call: impl FnOnce(&dyn Hooks)) {
    if let Some(hooks) = hooks {
        call(&**hooks);
    }
}

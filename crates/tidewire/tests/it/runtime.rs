//! Runtimes: jobs, placement, hooks; servers in them. Timers.

use std::{
    collections::BTreeMap,
    error::Error,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, sync_channel},
    },
    thread,
    time::{Duration, SystemTime},
};

use tidewire::{
    runtime::{Config, Design, Hooks, Placement, PostError, Runtime},
    service::Workers,
    tcp::{Client, Connection, Handler, Server, ServerConfig, Session},
    timer::{Expiry, Timer},
};

fn threads(count: usize) -> Config {
    Config::default().threads(NonZeroUsize::new(count).unwrap())
}

/// Runs `work` on a thread that may block, as programs without async do.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn push(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Hooks for Log {
    fn started(&self) {
        self.push("started");
    }

    fn stopped(&self) {
        self.push("stopped");
    }

    fn thread_started(&self) {
        self.push("thread started");
    }

    fn thread_stopped(&self) {
        self.push("thread stopped");
    }

    fn error(&self, error: &(dyn Error + 'static)) {
        self.push(&error.to_string());
    }
}

/// The scenario of the original example, with its numbers.
fn dispatch_and_post(runtime: &Runtime) -> Vec<String> {
    let log = Log::default();
    // The thread is busy until both are queued.
    let (go, gate) = sync_channel::<()>(0);
    let waiting = move || gate.recv().unwrap();
    runtime.post(waiting).unwrap();
    let (done, ended) = sync_channel(1);
    log.push("1");
    let (inner, told) = (runtime.clone(), log.clone());
    let job = move || {
        told.push("1.1");
        told.push("1.2");
        let log = told.clone();
        inner.dispatch(move || log.push("1.2.1")).unwrap();
        told.push("1.3");
        let log = told.clone();
        inner.post(move || log.push("1.3.1")).unwrap();
    };
    runtime.dispatch(job).unwrap();
    log.push("2");
    let (inner, told) = (runtime.clone(), log.clone());
    let job = move || {
        told.push("2.1");
        told.push("2.2");
        let log = told.clone();
        inner.dispatch(move || log.push("2.2.1")).unwrap();
        told.push("2.3");
        let log = told.clone();
        let last = move || {
            log.push("2.3.1");
            done.send(()).unwrap();
        };
        inner.post(last).unwrap();
    };
    runtime.post(job).unwrap();
    go.send(()).unwrap();
    ended.recv().unwrap();
    log.lines()
}

#[tokio::test]
async fn dispatch_runs_at_once_on_the_thread_and_post_never_does() {
    for config in [
        threads(1),
        threads(1).polling(true),
        threads(2).design(Design::Pool),
    ] {
        let order = blocking(move || {
            let runtime = Runtime::start(config).unwrap();
            let order = dispatch_and_post(&runtime);
            runtime.stop();
            order
        });
        let expected = [
            "1", "2", "1.1", "1.2", "1.2.1", "1.3", "2.1", "2.2", "2.2.1", "2.3", "1.3.1", "2.3.1",
        ];
        assert_eq!(order.await, expected);
    }
}

#[tokio::test]
async fn a_foreign_event_loop_takes_jobs_too() {
    let runtime = Runtime::of(tokio::runtime::Handle::current());
    let order = blocking(move || dispatch_and_post(&runtime)).await;
    assert_eq!(order.last().map(String::as_str), Some("2.3.1"));
}

#[tokio::test]
async fn jobs_are_bounded_and_those_that_wait_run_before_the_end() {
    let config = threads(1).jobs_max(10);
    let ran = blocking(move || {
        let runtime = Runtime::start(config).unwrap();
        let (go, gate) = sync_channel::<()>(0);
        let (busy, is_busy) = sync_channel(0);
        let waiting = move || {
            busy.send(()).unwrap();
            gate.recv().unwrap();
        };
        runtime.post(waiting).unwrap();
        is_busy.recv().unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        for number in 0..12 {
            let ran = Arc::clone(&ran);
            let posted = runtime.post(move || {
                ran.fetch_add(1, Ordering::SeqCst);
            });
            let expected = if number < 10 {
                Ok(())
            } else {
                Err(PostError::Full)
            };
            assert_eq!(posted, expected, "job {number}");
        }
        let stopping = thread::spawn({
            let runtime = runtime.clone();
            move || runtime.stop()
        });
        go.send(()).unwrap();
        stopping.join().unwrap();
        assert_eq!(runtime.post(|| ()), Err(PostError::Stopped));
        assert!(!runtime.is_running());
        ran.load(Ordering::SeqCst)
    });
    assert_eq!(ran.await, 10);
}

#[tokio::test]
async fn hooks_are_told_in_order_also_of_a_job_that_panics() {
    for design in [Design::PerThread, Design::Pool] {
        let log = Log::default();
        let hooks: Arc<dyn Hooks> = Arc::new(log.clone());
        let config = threads(2).design(design).hooks(hooks);
        let (before, after) = blocking(move || {
            let runtime = Runtime::start(config).unwrap();
            runtime.post_on(0, || panic!("on purpose")).unwrap();
            let (done, ended) = sync_channel(1);
            runtime.post_on(0, move || done.send(()).unwrap()).unwrap();
            ended.recv().unwrap();
            let again = runtime.restart().unwrap();
            let after = (runtime.is_running(), again.is_running());
            again.stop();
            (log.lines(), after)
        })
        .await;
        assert_eq!(after, (false, true));
        let count = |line: &str| before.iter().filter(|it| *it == line).count();
        assert_eq!((count("started"), count("stopped")), (2, 2));
        assert_eq!(count("a job panicked: on purpose"), 1);
        assert_eq!(
            count("thread started"),
            count("thread stopped"),
            "{before:?}"
        );
        assert_eq!(before.last().map(String::as_str), Some("stopped"));
    }
}

#[tokio::test]
async fn a_polling_thread_is_told_that_it_is_idle_again_and_again() {
    struct Idle(mpsc::SyncSender<()>);
    impl Hooks for Idle {
        fn idle(&self) {
            self.0.try_send(()).ok();
        }
    }
    for (is_polling, least) in [(true, 1000), (false, 1)] {
        let (idle, told) = sync_channel(0);
        let hooks: Arc<dyn Hooks> = Arc::new(Idle(idle));
        let config = threads(1).polling(is_polling).hooks(hooks);
        blocking(move || {
            let runtime = Runtime::start(config).unwrap();
            for _ in 0..least {
                runtime.post(|| ()).unwrap(); // wakes one that sleeps
                told.recv().unwrap();
            }
            // Tasks work as before.
            let answer = runtime.spawn(async { 7 });
            assert_eq!(runtime.block_on(answer).unwrap(), 7);
            drop(told);
            runtime.stop();
        })
        .await;
    }
}

/// Counts the connections of each thread.
#[derive(Clone, Default)]
struct PerThread(Arc<Mutex<BTreeMap<String, usize>>>);

impl Handler for PerThread {
    fn opened(&mut self, session: &mut Session<'_>) {
        let name = thread::current().name().unwrap_or_default().to_owned();
        *self.0.lock().unwrap().entry(name).or_default() += 1;
        session.send(b"!").unwrap();
    }

    fn received(&mut self, _session: &mut Session<'_>, _bytes: &[u8]) {}
}

#[tokio::test]
async fn servers_in_a_runtime_spread_their_connections_over_its_threads() {
    for placement in [
        Placement::RoundRobin,
        Placement::LeastLoaded,
        Placement::System,
    ] {
        let config = threads(3).placement(placement).name("placed");
        let runtime = Runtime::start(config).unwrap();
        let counts = PerThread::default();
        let mut servers = Vec::new();
        for _ in 0..2 {
            let config = ServerConfig::new("127.0.0.1:0".parse().unwrap())
                .workers(Workers::On(runtime.clone()));
            let counts = counts.clone();
            let server = Server::handlers(config, move |_session| counts.clone());
            servers.push(server.start().unwrap());
        }
        let mut clients: Vec<Connection> = Vec::new();
        for server in &servers {
            for _ in 0..6 {
                let client = Client::to(server.local_addr()).connect().await;
                clients.push(client.unwrap());
                // It is placed before the next one comes.
                let greeting = clients.last_mut().unwrap().recv().await.unwrap();
                assert_eq!(greeting.as_deref(), Some(&b"!"[..]));
            }
        }
        let counts = counts.0.lock().unwrap().clone();
        assert!(counts.keys().all(|name| name.starts_with("placed-")));
        assert_eq!(counts.values().sum::<usize>(), 12);
        if placement != Placement::System {
            assert!(
                counts.values().all(|count| *count == 4),
                "{placement:?}: {counts:?}"
            );
        }
        for server in servers {
            let draining = server.drain(Duration::from_secs(30));
            // They end on their own; the clients are told.
            let (drained, ()) = tokio::join!(draining, async {
                for client in clients.drain(..clients.len().min(6)) {
                    client.close().await.ok();
                }
            });
            assert!(drained);
        }
        runtime.stopped().await;
    }
}

#[tokio::test]
async fn a_runtime_that_stops_takes_its_connections_along() {
    let runtime = Runtime::start(threads(1)).unwrap();
    let config =
        ServerConfig::new("127.0.0.1:0".parse().unwrap()).workers(Workers::On(runtime.clone()));
    let counts = PerThread::default();
    let server = Server::handlers(config, move |_session| counts.clone());
    let server = server.start().unwrap();
    let mut client = Client::to(server.local_addr()).connect().await.unwrap();
    assert!(client.recv().await.unwrap().is_some());
    runtime.stopped().await;
    assert!(!matches!(client.recv().await, Ok(Some(_))));
    assert_eq!(server.stats().sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_timer_expires_once_per_wait_and_is_cancelled_or_set_anew() {
    let span = Duration::from_secs(5);
    let timer = Timer::after(span);
    let begun = tokio::time::Instant::now();
    assert_eq!(timer.wait().await, Expiry::Expired);
    assert_eq!(begun.elapsed(), span);
    assert_eq!(timer.wait().await, Expiry::Expired, "it is past");
    timer.set_at(SystemTime::now() + span);
    assert!(timer.expires_in() <= span && timer.expires_in() > span / 2);
    let (first, second, ()) = tokio::join!(timer.wait(), timer.wait(), async { timer.cancel() });
    assert_eq!((first, second), (Expiry::Cancelled, Expiry::Cancelled));
    let (wait, ()) = tokio::join!(timer.wait(), async { timer.set_after(Duration::ZERO) });
    assert_eq!(wait, Expiry::Cancelled);
    assert_eq!(timer.wait().await, Expiry::Expired);
    timer.set_at(SystemTime::UNIX_EPOCH);
    assert_eq!(timer.wait().await, Expiry::Expired);
    timer.set_after(Duration::MAX);
    let (wait, ()) = tokio::join!(timer.wait(), async { timer.cancel() });
    assert_eq!(wait, Expiry::Cancelled);
}

#[tokio::test]
async fn a_timer_calls_back_on_a_runtime_once() {
    let expiries = blocking(|| {
        let runtime = Runtime::start(threads(1)).unwrap();
        let (told, expiries) = sync_channel(2);
        let tell = |told: mpsc::SyncSender<Expiry>| move |expiry| told.send(expiry).unwrap();
        let timer = Timer::after(Duration::from_millis(1));
        #[cfg(feature = "blocking")]
        {
            assert_eq!(timer.wait_blocking().unwrap(), Expiry::Expired);
        }
        timer.on_expiry(&runtime, tell(told.clone()));
        let first = expiries.recv().unwrap();
        timer.set_after(Duration::from_hours(1));
        timer.on_expiry(&runtime, tell(told));
        timer.cancel();
        let second = expiries.recv().unwrap();
        assert!(expiries.recv().is_err(), "nobody is left to tell");
        runtime.stop();
        (first, second)
    });
    assert_eq!(expiries.await, (Expiry::Expired, Expiry::Cancelled));
}

//! A TLS configuration that follows its files.
//!
//! In: a plan (which files, how to build). Out: the configuration of the next handshake.
//! Invariants: a configuration is complete or not used, so a half-written certificate never is;
//! an error keeps the one in use; connections keep the one they began with.
//!
//! Files matter to new handshakes only, so a handshake looks whether they have changed, at most
//! once per interval: no task runs in the background that somebody would have to end.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{TlsError, source::Source};

use crate::sync::{Mutex, RwLock};

/// How a configuration is made.
pub(super) trait Plan: fmt::Debug + Send + Sync + 'static {
    type Config: Send + Sync + 'static;

    /// The files it depends on.
    fn sources(&self) -> Vec<&Source>;

    /// Reads the files and makes the configuration.
    fn build(&self) -> Result<Self::Config, TlsError>;
}

/// What came of [`ServerTls::adopt`](super::ServerTls::adopt).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Adopted {
    /// Handshakes that begin from now on use other files.
    Renewed,
    /// The files are the same; sessions can still be resumed.
    Same,
}

/// The configuration in use, and how to renew it.
pub(super) struct Live<P: Plan> {
    plan: P,
    loaded: RwLock<Loaded<P::Config>>,
    /// Numbers the loads in the order they began.
    loads: AtomicU64,
    checks: Option<Checks>,
}

struct Loaded<C> {
    /// Number of its load: a load that began earlier does not replace a later one.
    number: u64,
    fingerprint: u64,
    config: Arc<C>,
}

struct Checks {
    every: Duration,
    next: Mutex<Instant>,
}

impl<P: Plan> fmt::Debug for Live<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}

impl<P: Plan> Live<P> {
    pub(super) fn new(plan: P, every: Option<Duration>) -> Result<Arc<Self>, TlsError> {
        let fingerprint = fingerprint(&plan);
        let config = Arc::new(plan.build()?);
        Ok(Arc::new(Self {
            plan,
            loaded: RwLock::new(Loaded {
                number: 0,
                fingerprint,
                config,
            }),
            loads: AtomicU64::new(1),
            checks: every.map(|every| Checks {
                every,
                next: Mutex::new(Instant::now() + every),
            }),
        }))
    }

    /// The configuration for a handshake, after a look at the files if one is due.
    ///
    /// Cancel safe: a look that has begun goes on and ends by itself.
    pub(super) async fn for_handshake(self: &Arc<Self>) -> Arc<P::Config> {
        if self.checks.as_ref().is_some_and(Checks::is_due) {
            let live = Arc::clone(self);
            let looked = tokio::task::spawn_blocking(move || live.follow()).await;
            if let Err(error) = looked {
                tracing::error!(%error, "looking for changed TLS files failed");
            }
        }
        Arc::clone(&self.read().config)
    }

    /// Loads all files anew, changed or not. Blocking.
    pub(super) fn reload(&self) -> Result<(), TlsError> {
        let number = self.loads.fetch_add(1, Ordering::Relaxed);
        // Taken before the files are read: a change in between is found by the next look.
        self.replace(number, fingerprint(&self.plan))
    }

    /// Takes over what `fresh` has loaded.
    pub(super) fn adopt(&self, fresh: &Self) -> Adopted {
        let number = self.loads.fetch_add(1, Ordering::Relaxed);
        let (fingerprint, config) = {
            let fresh = fresh.read();
            (fresh.fingerprint, Arc::clone(&fresh.config))
        };
        let mut loaded = self.loaded.write();
        if loaded.fingerprint == fingerprint {
            return Adopted::Same;
        }
        if loaded.number < number {
            *loaded = Loaded {
                number,
                fingerprint,
                config,
            };
        }
        Adopted::Renewed
    }

    /// Loads the files if they have changed. Blocking.
    fn follow(&self) {
        let number = self.loads.fetch_add(1, Ordering::Relaxed);
        let in_use = self.read().fingerprint;
        let found = fingerprint(&self.plan);
        if found == in_use {
            return;
        }
        let files = self.plan.sources();
        match self.replace(number, found) {
            Ok(()) => tracing::info!(?files, "changed TLS files are in use"),
            Err(error) => {
                tracing::error!(%error, "changed TLS files cannot be used; going on with the old");
            }
        }
    }

    fn replace(&self, number: u64, fingerprint: u64) -> Result<(), TlsError> {
        let config = Arc::new(self.plan.build()?);
        let mut loaded = self.loaded.write();
        if loaded.number < number {
            *loaded = Loaded {
                number,
                fingerprint,
                config,
            };
        }
        Ok(())
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Loaded<P::Config>> {
        self.loaded.read()
    }

    pub(super) fn plan(&self) -> &P {
        &self.plan
    }
}

impl Checks {
    /// True for one caller per interval.
    fn is_due(&self) -> bool {
        let now = Instant::now();
        let mut next = self.next.lock();
        let due = now >= *next;
        if due {
            *next = now + self.every;
        }
        due
    }
}

/// Changes when a file does. Contents, not times: a copy may keep the time of its original. A
/// file that cannot be read counts as changed; building tells why.
fn fingerprint(plan: &impl Plan) -> u64 {
    let mut hasher = DefaultHasher::new();
    for source in plan.sources() {
        let text = source.read("PEM text", |_path, _file| Ok(()));
        text.ok().as_deref().hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts its builds.
    #[derive(Debug)]
    struct Counted {
        file: Source,
        builds: AtomicU64,
    }

    impl Plan for Counted {
        type Config = u64;

        fn sources(&self) -> Vec<&Source> {
            vec![&self.file]
        }

        fn build(&self) -> Result<u64, TlsError> {
            self.file.read("anything", |_path, _file| Ok(()))?;
            Ok(self.builds.fetch_add(1, Ordering::Relaxed))
        }
    }

    fn live(path: &std::path::Path, every: Option<Duration>) -> Arc<Live<Counted>> {
        let plan = Counted {
            file: Source::File(path.into()),
            builds: AtomicU64::new(0),
        };
        Live::new(plan, every).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_files_are_looked_at_once_per_interval_and_loaded_when_they_changed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let minute = Duration::from_mins(1);
        let live = live(file.path(), Some(minute));
        std::fs::write(file.path(), "changed").unwrap();
        assert_eq!(*live.for_handshake().await, 0, "not due");
        tokio::time::advance(minute).await;
        assert_eq!(*live.for_handshake().await, 1);
        tokio::time::advance(minute).await;
        assert_eq!(*live.for_handshake().await, 1, "not changed");
        std::fs::write(file.path(), "again").unwrap();
        assert_eq!(*live.for_handshake().await, 1, "not due");
        tokio::time::advance(minute).await;
        let together = tokio::join!(live.for_handshake(), live.for_handshake());
        assert_eq!(*together.0, 2);
        assert_eq!(live.plan.builds.load(Ordering::Relaxed), 3, "one looked");
        std::fs::remove_file(file.path()).unwrap();
        tokio::time::advance(minute).await;
        assert_eq!(*live.for_handshake().await, 2, "the old one is kept");
    }

    #[tokio::test]
    async fn what_another_has_read_is_adopted_unless_it_is_the_same() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (in_use, same) = (live(file.path(), None), live(file.path(), None));
        assert_eq!(in_use.adopt(&same), Adopted::Same);
        assert_eq!(in_use.read().number, 0);
        std::fs::write(file.path(), "renewed").unwrap();
        let fresh = live(file.path(), None);
        assert_eq!(in_use.adopt(&fresh), Adopted::Renewed);
        assert_eq!(in_use.adopt(&fresh), Adopted::Same);
        let (ours, theirs) = (in_use.read(), fresh.read());
        assert!(Arc::ptr_eq(&ours.config, &theirs.config));
    }

    #[tokio::test]
    async fn a_load_that_began_earlier_does_not_replace_a_later_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let live = live(file.path(), None);
        live.replace(2, 22).unwrap();
        live.replace(1, 11).unwrap();
        assert_eq!(live.read().fingerprint, 22);
        assert_eq!(*live.for_handshake().await, 1);
    }
}

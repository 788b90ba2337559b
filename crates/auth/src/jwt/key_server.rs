//! [`KeyServer`]: keys that are fetched from a URL, as far as they are known.
//!
//! Fetching is the program's business; what it has found is kept here, where tokens are checked.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::RwLock;

use super::KeySet;

/// A JSON Web Key Set behind a URL. Clones share what is known.
#[derive(Clone)]
pub struct KeyServer {
    url: Arc<str>,
    authorities: Option<crate::Secret>,
    known: Arc<RwLock<Option<KnownKeys>>>,
}

/// The last answer of a key server.
#[derive(Clone, Debug)]
pub struct KnownKeys {
    /// The keys.
    pub keys: Arc<KeySet>,
    /// When it answered.
    pub fetched: Instant,
}

impl KeyServer {
    /// After this time without an answer of the server its keys are good no more.
    pub const KEPT_FOR: Duration = Duration::from_hours(24);

    pub(crate) fn new(url: &str, authorities: Option<crate::Secret>) -> Self {
        Self {
            url: url.into(),
            authorities,
            known: Arc::default(),
        }
    }

    /// Where the keys are: https, or http on this machine.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Certificate authorities to trust besides the system's, in PEM.
    pub fn authorities(&self) -> Option<&str> {
        self.authorities.as_ref().map(crate::Secret::expose)
    }

    /// Takes what the server has answered now.
    pub fn set(&self, keys: KeySet) {
        *self.known.write() = Some(KnownKeys {
            keys: Arc::new(keys),
            fetched: Instant::now(),
        });
    }

    /// The keys that are known; `None` before the first answer, and [`KEPT_FOR`](Self::KEPT_FOR) after the last one.
    pub fn known(&self) -> Option<KnownKeys> {
        let known = self.known.read();
        known
            .as_ref()
            .filter(|known| known.fetched.elapsed() < Self::KEPT_FOR)
            .cloned()
    }

    /// Returns whether two are about the same object, and so share what is known.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.known, &other.known)
    }
}

impl fmt::Debug for KeyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyServer")
            .field("url", &self.url)
            .field("known", &self.known())
            .finish_non_exhaustive()
    }
}

/// Equal are those that ask the same server in the same way.
impl PartialEq for KeyServer {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url && self.authorities == other.authorities
    }
}

impl Eq for KeyServer {}

//! The system's certificate authorities, read once for all clients that were given no TLS settings of
//! their own.
//!
//! In: the first such client. Out: the [`ClientTls`] that they share, and with it resumed sessions.
//! Invariants: files are read on a thread for blocking work, not by the runtime's workers; a failure
//! goes to every client that waited for it, and the next one tries again.

use tokio::{sync::OnceCell, task::spawn_blocking};

use super::{ClientTls, TlsError};

static SHARED: Shared = Shared::new();

impl ClientTls {
    /// Trusts the system's certificate authorities, which the process reads once, on a thread for
    /// blocking work. Clients without TLS settings use it. A change of the system's authorities
    /// counts after [`reload`](Self::reload) of any clone, which reloads them all.
    ///
    /// # Errors
    /// [`TlsError`], when the system has none; the next call looks again.
    ///
    /// # Cancel safety
    /// Cancel safe: another call begins anew.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn shared_system_roots() -> Result<Self, TlsError> {
        SHARED.get_or_load(Self::system_roots).await
    }
}

struct Shared {
    loaded: OnceCell<ClientTls>,
}

impl Shared {
    const fn new() -> Self {
        Self {
            loaded: OnceCell::const_new(),
        }
    }

    async fn get_or_load(
        &self,
        load: impl FnOnce() -> Result<ClientTls, TlsError> + Send + 'static,
    ) -> Result<ClientTls, TlsError> {
        let loaded = self.loaded.get_or_try_init(|| async {
            let loading = spawn_blocking(load).await;
            loading.unwrap_or_else(|failed| {
                Err(TlsError::unusable(
                    "the system's certificate authorities",
                    failed,
                ))
            })
        });
        loaded.await.cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use super::*;

    fn none_found() -> Result<ClientTls, TlsError> {
        Err(TlsError::unusable("authorities", "none found"))
    }

    #[tokio::test]
    async fn clients_that_connect_at_once_share_one_load_off_the_runtime() {
        static LOADS: AtomicUsize = AtomicUsize::new(0);
        let shared = Shared::new();
        let runtime = thread::current().id();
        let load = move || {
            LOADS.fetch_add(1, Ordering::Relaxed);
            assert_ne!(thread::current().id(), runtime);
            ClientTls::danger_unverified()
        };
        let (first, second) = tokio::join!(shared.get_or_load(load), shared.get_or_load(load));
        assert_eq!(first.unwrap(), second.unwrap());
        shared.get_or_load(load).await.unwrap();
        assert_eq!(LOADS.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_failure_is_told_and_not_kept() {
        let shared = Shared::new();
        let failed = shared.get_or_load(none_found).await.unwrap_err();
        assert_eq!(failed.to_string(), "authorities cannot be used: none found");
        shared
            .get_or_load(ClientTls::danger_unverified)
            .await
            .unwrap();
        shared.get_or_load(none_found).await.unwrap();
    }

    #[tokio::test]
    async fn a_load_that_panics_is_an_error() {
        let shared = Shared::new();
        let failed = shared.get_or_load(|| panic!("a broken store")).await;
        assert!(failed.unwrap_err().to_string().contains("panicked"));
    }
}

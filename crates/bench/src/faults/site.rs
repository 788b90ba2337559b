//! An endpoint: its backend, and what is known of it.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{backend::Backend, gateway::Gateway, weather::Weather};

/// An endpoint's backend and what is known of it.
#[derive(Clone)]
pub(super) struct Site {
    backend: Arc<Mutex<Backend>>,
    pub(super) weather: Arc<Weather>,
}

/// Starts so many backends and the gateway in front of them; the endpoint of the first is `e0`.
pub(super) fn start(program: &Path, count: usize) -> anyhow::Result<(Vec<Site>, Gateway)> {
    let backends = (0..count)
        .map(|_| Backend::start(0))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let ports: Vec<u16> = backends.iter().map(|backend| backend.port).collect();
    let sites = backends.into_iter().map(|backend| Site {
        backend: Arc::new(Mutex::new(backend)),
        weather: Arc::default(),
    });
    Ok((sites.collect(), Gateway::start(program, &ports)?))
}

impl Site {
    pub(super) fn kill(&self) {
        self.backend().kill();
        self.weather.killed();
    }

    pub(super) fn start_again(&self) -> anyhow::Result<()> {
        let mut backend = self.backend();
        *backend = Backend::start(backend.port)?;
        self.weather.back();
        Ok(())
    }

    fn backend(&self) -> MutexGuard<'_, Backend> {
        self.backend.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

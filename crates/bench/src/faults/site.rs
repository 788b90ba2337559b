//! An endpoint: its backend, and what is known of it.

use std::{path::Path, sync::Arc};

use parking_lot::{Mutex, MutexGuard};

use super::{backend::Backend, gateway::Gateway, outage::Outage, wild::Behaviour};

/// An endpoint's backend and what is known of it.
#[derive(Clone)]
pub(super) struct Site {
    name: String,
    backend: Arc<Mutex<Backend>>,
    pub(super) outage: Arc<Outage>,
}

/// Starts so many backends and the gateway in front of them, which clients' sockets outlive; the endpoint of the first is `e0`.
pub(super) fn start(program: &Path, count: usize) -> anyhow::Result<(Vec<Site>, Gateway)> {
    let (mut sites, mut ports) = (Vec::new(), Vec::new());
    for index in 0..count {
        let name = format!("e{index}");
        let backend = Backend::start(&name, 0, Behaviour::Echo)?;
        ports.push(backend.port);
        sites.push(Site {
            name,
            backend: Arc::new(Mutex::new(backend)),
            outage: Arc::default(),
        });
    }
    let gateway = Gateway::start(program, &ports, "resume = {}")?;
    Ok((sites, gateway))
}

impl Site {
    pub(super) fn kill(&self) {
        self.backend().kill();
        self.outage.killed();
    }

    /// It is not back while it does anything but echo.
    pub(super) fn start_again(&self, behaviour: Behaviour) -> anyhow::Result<()> {
        let mut backend = self.backend();
        *backend = Backend::start(&self.name, backend.port, behaviour)?;
        if behaviour == Behaviour::Echo {
            self.outage.back();
        }
        Ok(())
    }

    /// SIGSTOP.
    pub(super) fn freeze(&self) -> anyhow::Result<()> {
        self.backend().signal("STOP")?;
        self.outage.killed();
        Ok(())
    }

    /// SIGCONT.
    pub(super) fn thaw(&self) -> anyhow::Result<()> {
        self.backend().signal("CONT")?;
        self.outage.back();
        Ok(())
    }

    fn backend(&self) -> MutexGuard<'_, Backend> {
        self.backend.lock()
    }
}

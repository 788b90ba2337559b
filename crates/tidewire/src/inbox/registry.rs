//! One server per kind and process, for programs that want to reach it from anywhere.

use std::sync::{Arc, MutexGuard};

use super::{Security, Server, ServerConfig};

use crate::sync::Mutex;

/// There is a server of this kind with other parameters.
#[derive(Clone, Debug, thiserror::Error)]
#[error("there is a server of this kind with other parameters, at {}; destroy it first", existing.address)]
#[non_exhaustive]
pub struct RegistryError {
    /// The parameters of the server there is.
    pub existing: Box<ServerConfig>,
}

/// The process's server of a kind; the kinds are those of [`Security`]. The first call makes it,
/// not started; later ones give the same.
///
/// # Errors
/// [`RegistryError`], when the parameters are not those of the first call. (The library this
/// style is taken from ignored them silently.)
pub fn get_instance(config: ServerConfig) -> Result<Arc<Server>, RegistryError> {
    let mut instances = instances();
    let instance = instances.of_kind(&config.security);
    match instance {
        Some(server) if *server.config() == config => Ok(Arc::clone(server)),
        Some(server) => Err(RegistryError {
            existing: Box::new(server.config().clone()),
        }),
        None => Ok(Arc::clone(instance.insert(Arc::new(Server::new(config))))),
    }
}

/// Stops a server, as [`Server::stop`], and forgets it, so that the next [`get_instance`] makes
/// another. False when it is not the process's server of its kind; then it is left alone.
pub fn destroy(server: &Arc<Server>) -> bool {
    let mut instances = instances();
    let instance = instances.of_kind(&server.config().security);
    if !instance
        .as_ref()
        .is_some_and(|known| Arc::ptr_eq(known, server))
    {
        return false;
    }
    server.stop();
    *instance = None;
    true
}

struct Instances {
    plain: Option<Arc<Server>>,
    #[cfg(feature = "tls")]
    unverified: Option<Arc<Server>>,
    #[cfg(feature = "tls")]
    mutual: Option<Arc<Server>>,
}

impl Instances {
    fn of_kind(&mut self, security: &Security) -> &mut Option<Arc<Server>> {
        match security {
            Security::Plain => &mut self.plain,
            #[cfg(feature = "tls")]
            Security::Unverified { .. } => &mut self.unverified,
            #[cfg(feature = "tls")]
            Security::Mutual { .. } => &mut self.mutual,
        }
    }
}

fn instances() -> MutexGuard<'static, Instances> {
    static INSTANCES: Mutex<Instances> = Mutex::new(Instances {
        plain: None,
        #[cfg(feature = "tls")]
        unverified: None,
        #[cfg(feature = "tls")]
        mutual: None,
    });
    INSTANCES.lock()
}

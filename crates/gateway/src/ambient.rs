//! Answers of the surroundings: time, randomness, and sockets that a service manager has bound. Pure code gets
//! them as arguments.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Instant,
};

use tidewire::net::{Address, Listener};

use crate::error::StartError;

/// The time by which upstreams and processes are judged; virtual in tests.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A random number for spreading things over time; not for secrets.
pub(crate) fn random() -> u32 {
    let hash = RandomState::new().hash_one(0);
    u32::try_from(hash >> 32).unwrap_or_default()
}

/// The sockets that a service manager has bound to the address, or those that `bind` binds.
///
/// # Errors
/// [`StartError`].
pub(crate) fn activated_or(
    address: &Address,
    bind: impl FnOnce() -> Result<Vec<Listener>, tidewire::ws::StartError>,
) -> Result<Vec<Listener>, StartError> {
    let activated = tidewire_config::activated_sockets(address);
    let activated = activated.map_err(|source| tidewire::ws::StartError::Bind {
        address: address.clone(),
        source,
    })?;
    match activated {
        Some(sockets) => Ok(sockets),
        None => Ok(bind()?),
    }
}

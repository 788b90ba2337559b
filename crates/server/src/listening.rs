//! The sockets that a listener accepts from: those of a predecessor, those that a service manager has bound, or new
//! ones.
//!
//! In: the address in the settings. Out: bound sockets, or an error that names the listener.

use tidewire::{
    net::{Address, Listener},
    service,
};
use tidewire_handover::{Bound, Role};

use crate::error::StartError;

/// The sockets that were given for the address, or that a service manager has bound to it, or those that `bind` binds.
pub(crate) fn given_or(
    given: &mut Vec<Bound>,
    (listener, role): (&'static str, Role),
    address: &Address,
    bind: impl FnOnce() -> Result<Vec<Listener>, service::StartError>,
) -> Result<Vec<Listener>, StartError> {
    let is_it = |it: &Bound| it.role == role && it.configured == *address;
    if let Some(position) = given.iter().position(is_it) {
        return Ok(given.remove(position).sockets);
    }
    let activated = tidewire_config::activated_sockets(address);
    let activated = activated.map_err(|source| service::StartError::Bind {
        address: address.clone(),
        source,
    });
    match started(listener, activated)? {
        Some(sockets) => Ok(sockets),
        None => started(listener, bind()),
    }
}

/// Names the listener that did not start.
pub(crate) fn started<T>(
    name: &'static str,
    it: Result<T, service::StartError>,
) -> Result<T, StartError> {
    let listener = name;
    it.map_err(|source| StartError::Listener { listener, source })
}

//! Start, reload, hand over, drain, stop.
//!
//! In: settings, and what is asked of a running gateway. Out: a [`Running`] gateway.

mod running; // start, reload, drain, stop
mod operate; // the loop that owns a running gateway
mod event; // what its owner is told
mod control; // what may be asked of it
mod watch; // files that have changed
#[cfg_attr(not(unix), path = "handover_elsewhere.rs")]
pub(crate) mod handover; // listeners from process to process
mod bound; // sockets that listen
mod listeners; // the addresses clients connect to
mod reload; // what other settings mean for what is open

pub use self::{
    control::{Operator, Requests},
    event::{Event, Observer},
    handover::HandoverError,
    operate::Load,
    reload::{Changed, Reloaded},
    running::{Running, start, start_or_take_over},
};

//! Start, reload, hand over, drain, stop.
//!
//! In: settings, and what is asked of a running gateway. Out: a [`Running`] gateway.

mod running; // start, reload, drain, stop
mod operate; // the loop that owns a running gateway
mod control; // what may be asked of it
mod watch; // files that have changed
mod listeners; // the addresses clients connect to
mod reload; // what other settings mean for what is open

pub use self::{
    control::{Operator, Requests},
    operate::Load,
    reload::{Changed, Reloaded},
    running::{Event, Observer, Running, start, start_or_take_over},
};

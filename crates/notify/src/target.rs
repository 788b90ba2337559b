//! Describes what a kind of target has to be able to do: [`Target`].

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use crate::Event;

/// The outcome of a delivery, to be waited for.
pub type Delivery<'a> = Pin<Box<dyn Future<Output = Result<(), DeliveryError>> + Send + 'a>>;

/// A system that takes events.
///
/// One worker drives it, with several deliveries at a time ([`TargetConfig::parallel`](crate::TargetConfig::parallel)) of
/// events of different users. A target connects when it is first asked to deliver, and again after a failure: no
/// connection is no reason not to start. It does not try again by itself, and does not wait longer than it must:
/// the worker does both, and cuts a delivery off after [`TargetConfig::timeout`](crate::TargetConfig::timeout) by dropping its
/// future, so a delivery must not leave a connection behind in the middle of something.
pub trait Target: Send + Sync + fmt::Debug + 'static {
    /// Delivers these events in their order; at least one. `Ok` says that the other side has them for good, as far as it can
    /// say so (a confirm, a reply, a commit); not that they are in a buffer of ours.
    fn deliver<'a>(&'a self, events: &'a [Arc<Event>]) -> Delivery<'a>;
}

/// Events were not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DeliveryError {
    /// So many events of the batch were taken before.
    pub taken: usize,
    /// Whose fault it is.
    pub fault: Fault,
    /// For people: what the other side said. No secrets.
    pub reason: String,
    /// The other side has asked for so long a pause.
    pub retry_after: Option<Duration>,
}

/// Tells what a failed delivery says about the target and the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The target cannot be reached or does not work: nothing is said about the events. Counts for the breaker.
    Unavailable,
    /// The first event that was not taken is refused; it may be taken later, or by another target. The ones behind it
    /// were not tried.
    Refused,
    /// The first event that was not taken never will be by this target.
    Impossible,
    /// The batch was refused as a whole: its events are tried one by one, which counts for none of them.
    Batch,
}

impl DeliveryError {
    /// Nothing was taken because the target does not work.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::new(Fault::Unavailable, reason)
    }

    /// The first event was refused.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::new(Fault::Refused, reason)
    }

    /// The first event can never be taken.
    pub fn impossible(reason: impl Into<String>) -> Self {
        Self::new(Fault::Impossible, reason)
    }

    /// The batch was refused as a whole.
    pub fn batch(reason: impl Into<String>) -> Self {
        Self::new(Fault::Batch, reason)
    }

    fn new(fault: Fault, reason: impl Into<String>) -> Self {
        Self {
            taken: 0,
            fault,
            reason: reason.into(),
            retry_after: None,
        }
    }

    /// So many events were taken before.
    #[must_use]
    pub fn behind(mut self, taken: usize) -> Self {
        self.taken = taken;
        self
    }

    /// The other side wants to be left alone for so long.
    #[must_use]
    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }
}

//! [`Alarms`]: word to the connections of an upstream that its checks say it is unhealthy.
//!
//! In: connections that want to know, and the upstream's falls. Out: an [`Alarm`] each, polled by the task of its
//! connection. Invariants: a fall after the pick of a connection is never missed, however late it asks; waking
//! is done without the pool's lock; while all is well a look costs no lock.

use std::{
    collections::BTreeMap,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

/// Who is to be told when an upstream turns unhealthy.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    /// How often it has turned.
    falls: u64,
    next: u64,
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
}

/// What a connection holds of it. One that was not asked for never goes off.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    number: Option<u64>,
    going_off: Option<oneshot::Receiver<()>>,
    has_gone_off: bool,
}

/// Those to be told, when the lock is free again.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Notifications(BTreeMap<u64, oneshot::Sender<()>>);

impl Alarms {
    /// Returns what a pick remembers, for [`ask`](Self::ask).
    pub(super) fn falls(&self) -> u64 {
        self.falls
    }

    /// An alarm for a connection that was picked after so many falls.
    pub(super) fn ask(&mut self, falls: u64) -> Alarm {
        if self.falls != falls {
            return Alarm {
                has_gone_off: true,
                ..Alarm::default()
            };
        }
        let (tell, going_off) = oneshot::channel();
        self.next += 1;
        self.waiting.insert(self.next, tell);
        Alarm {
            number: Some(self.next),
            going_off: Some(going_off),
            has_gone_off: false,
        }
    }

    /// The connection is gone.
    pub(super) fn forget(&mut self, alarm: &Alarm) {
        if let Some(number) = alarm.number {
            self.waiting.remove(&number);
        }
    }

    /// It has turned unhealthy.
    pub(super) fn fell(&mut self) -> Notifications {
        self.falls += 1;
        Notifications(std::mem::take(&mut self.waiting))
    }
}

impl Notifications {
    pub(super) fn send(self) {
        for connection in self.0.into_values() {
            // Who has just gone need not know.
            connection.send(()).ok();
        }
    }
}

impl Alarm {
    /// Ready once the upstream has turned unhealthy, and from then on.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(going_off) = &mut self.going_off
            && let Poll::Ready(told) = Pin::new(going_off).poll(cx)
        {
            self.going_off = None;
            self.has_gone_off = told.is_ok();
        }
        if self.has_gone_off {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn is_off(alarm: &mut Alarm) -> bool {
        alarm
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn an_alarm_goes_off_with_the_first_fall_and_stays_so() {
        let mut alarms = Alarms::default();
        let mut alarm = alarms.ask(0);
        assert!(!is_off(&mut alarm));
        alarms.fell().send();
        assert!(is_off(&mut alarm) && is_off(&mut alarm));
    }

    #[test]
    fn a_fall_between_the_pick_and_the_question_is_not_missed() {
        let mut alarms = Alarms::default();
        let before = alarms.falls();
        alarms.fell().send();
        assert!(is_off(&mut alarms.ask(before)));
        assert!(!is_off(&mut alarms.ask(alarms.falls())));
    }

    #[test]
    fn who_is_gone_is_not_kept() {
        let mut alarms = Alarms::default();
        let (one, mut two) = (alarms.ask(0), alarms.ask(0));
        alarms.forget(&one);
        assert_eq!(alarms.waiting.len(), 1);
        alarms.fell().send();
        assert!(alarms.waiting.is_empty() && is_off(&mut two));
        alarms.forget(&two);
    }

    #[test]
    fn an_alarm_that_was_not_asked_for_or_whose_upstream_is_gone_stays_silent() {
        assert!(!is_off(&mut Alarm::default()));
        let mut alarms = Alarms::default();
        let mut alarm = alarms.ask(0);
        drop(alarms);
        assert!(!is_off(&mut alarm) && !is_off(&mut alarm));
    }
}

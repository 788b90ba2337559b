//! [`Readiness`]: asks a process again and again whether it works, until it does.
//!
//! In: a probe. Out: that it has succeeded, or why not yet. How long that may take is not decided here.
//! Invariant: one probe at a time; dropping it ends the probe.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Probes of a process that has started.
#[derive(Debug)]
pub(super) struct Readiness {
    task: JoinHandle<()>,
    answer: watch::Receiver<Answer>,
}

#[derive(Debug)]
enum Answer {
    None,
    NotYet(String),
    Ready,
}

impl Readiness {
    /// Probes at once, and then again until the probe succeeds.
    pub(super) fn start<P, F>(probe: Arc<P>) -> Self
    where
        P: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let (sender, answer) = watch::channel(Answer::None);
        let task = tokio::spawn(keep_asking(probe, sender));
        Self { task, answer }
    }

    /// Waits until a probe has succeeded.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn ready(&mut self) {
        let is_ready = |answer: &Answer| matches!(answer, Answer::Ready);
        if self.answer.wait_for(is_ready).await.is_err() {
            std::future::pending::<()>().await; // the probe has panicked: never ready
        }
    }

    /// Why the latest probe failed.
    pub(super) fn failure(&self) -> String {
        match &*self.answer.borrow() {
            Answer::NotYet(why) => why.clone(),
            Answer::None | Answer::Ready => "no answer yet".to_owned(),
        }
    }

    /// Asks no longer.
    pub(super) fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn keep_asking<P, F>(probe: Arc<P>, answer: watch::Sender<Answer>)
where
    P: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    loop {
        let why = match timeout(ANSWER_WITHIN, probe()).await {
            Ok(Ok(())) => {
                answer.send_replace(Answer::Ready);
                return;
            }
            Ok(Err(why)) => why,
            Err(_elapsed) => format!("no answer within {ANSWER_WITHIN:?}"),
        };
        answer.send_replace(Answer::NotYet(why));
        sleep(PAUSE).await;
    }
}

/// One probe may take so long: a server that is starting may accept and never answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// After a probe that failed. Short, since clients wait; a refused connection on loopback costs little.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn probes_are_repeated_until_one_succeeds() {
        let count = Arc::new(AtomicU32::new(0));
        let probe = {
            let count = Arc::clone(&count);
            move || {
                let turn = count.fetch_add(1, Ordering::Relaxed);
                async move {
                    match turn {
                        0 => std::future::pending().await, // one that hangs
                        1..5 => Err(format!("turn {turn}")),
                        _ => Ok(()),
                    }
                }
            }
        };
        let mut readiness = Readiness::start(Arc::new(probe));
        assert_eq!(readiness.failure(), "no answer yet");
        readiness.ready().await;
        assert_eq!(count.load(Ordering::Relaxed), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_failure_is_told() {
        let mut readiness = Readiness::start(Arc::new(|| async { Err("refused".to_owned()) }));
        let ready = timeout(Duration::from_mins(1), readiness.ready()).await;
        assert!(ready.is_err());
        assert_eq!(readiness.failure(), "refused");
    }
}

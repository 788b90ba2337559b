//! [`Prober`]: checks the upstreams of a pool again and again.
//!
//! In: the pool's plan, which reloads change. Out: results, told to the pool. One task owns the
//! checkers, one more task per upstream runs its checks one after the other, so that a stuck upstream delays
//! nobody else's. Invariant: dropping the prober ends them all.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{
    sync::watch,
    task::{AbortHandle, JoinHandle, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    Pool,
    check::{Check, CheckError, Plan, explain},
    inquiry::Inquiry,
    member::UpstreamId,
};
use crate::ambient::random;

/// Checks the upstreams of a pool until it is dropped. Without [`Health`](crate::settings::Health)
/// in the settings it asks only what the breakers want to know.
#[derive(Debug)]
pub struct Prober {
    task: JoinHandle<()>,
    _inquiry: Inquiry,
}

impl Prober {
    /// Begins with a first check of each upstream at once, if there are checks.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(pool: &Pool) -> Self {
        Self::start_with(pool, Check::run)
    }

    pub(super) fn start_with<R, F>(pool: &Pool, run: R) -> Self
    where
        R: Fn(Check) -> F + Clone + Send + 'static,
        F: Future<Output = Result<(), CheckError>> + Send + 'static,
    {
        let inquiry = Inquiry::start(pool.clone(), run.clone());
        let task = tokio::spawn(keep_checkers(pool.clone(), run));
        Self {
            task,
            _inquiry: inquiry,
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps one checker for each upstream of the plan.
async fn keep_checkers<R, F>(pool: Pool, run: R)
where
    R: Fn(Check) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), CheckError>> + Send + 'static,
{
    let mut plans = pool.plans();
    let mut tasks = JoinSet::new();
    let mut checkers: BTreeMap<UpstreamId, AbortHandle> = BTreeMap::new();
    loop {
        let plan = Arc::clone(&plans.borrow_and_update());
        checkers.retain(|id, checker| {
            let stays = !checker.is_finished() && plan.check(*id).is_some();
            if !stays {
                checker.abort();
            }
            stays
        });
        for (id, _) in &plan.targets {
            if plan.check(*id).is_some() && !checkers.contains_key(id) {
                let checker = keep_checking(pool.clone(), *id, run.clone());
                checkers.insert(*id, tasks.spawn(checker));
            }
        }
        tokio::select! {
            changed = plans.changed() => if changed.is_err() { return },
            Some(ended) = tasks.join_next() => if let Err(error) = ended && error.is_panic() {
                tracing::error!(%error, "a health check panicked");
            },
        }
    }
}

/// Checks one upstream as long as the plan holds it.
async fn keep_checking<R, F>(pool: Pool, id: UpstreamId, run: R)
where
    R: Fn(Check) -> F + Send,
    F: Future<Output = Result<(), CheckError>> + Send + 'static,
{
    let mut plans = pool.plans();
    loop {
        let plan = Arc::clone(&plans.borrow_and_update());
        let Some(check) = plan.check(id) else { return };
        let started = Instant::now();
        let upstream = check.url.server();
        let result = run(check).await.map_err(|error| explain(&error));
        let error = result.as_ref().err().cloned().unwrap_or_default();
        if result.is_err() {
            tracing::debug!(upstream, error, "a health check failed");
        }
        let was_unhealthy = pool.is_unhealthy(id);
        pool.checked(Instant::now().into_std(), id, result);
        match (was_unhealthy, pool.is_unhealthy(id)) {
            (false, true) => tracing::warn!(upstream, error, "unhealthy"),
            (true, false) => tracing::info!(upstream, "healthy again"),
            (true, true) | (false, false) => {}
        }
        if !wait(&pool, id, &mut plans, started).await {
            return;
        }
    }
}

/// Waits until the next check is due; a reload may have changed when. Gives whether there is one.
async fn wait(
    pool: &Pool,
    id: UpstreamId,
    plans: &mut watch::Receiver<Arc<Plan>>,
    started: Instant,
) -> bool {
    let random = random();
    loop {
        let Some(after) = pool.next_check_after(id, random) else {
            return false;
        };
        tokio::select! {
            () = sleep_until(started + after) => return true,
            changed = plans.changed() => if changed.is_err() { return false },
        }
    }
}

//! [`Inquiry`]: asks upstreams whether they answer, when their breakers want to know.
//!
//! In: the probes that are due, by what became of clients' connections. Out: what each says, told to the pool. One task
//! waits, one more task per probe asks. Invariant: dropping the inquiry ends them all.

use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    Pool,
    check::{Check, CheckError},
    fault::Evidence,
};

/// Probes the upstreams of a pool until it is dropped.
#[derive(Debug)]
pub(super) struct Inquiry {
    task: JoinHandle<()>,
}

impl Inquiry {
    pub(super) fn start<R, F>(pool: Pool, run: R) -> Self
    where
        R: Fn(Check) -> F + Clone + Send + 'static,
        F: Future<Output = Result<(), CheckError>> + Send + 'static,
    {
        Self {
            task: tokio::spawn(keep_asking(pool, run)),
        }
    }
}

impl Drop for Inquiry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_asking<R, F>(pool: Pool, run: R)
where
    R: Fn(Check) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), CheckError>> + Send + 'static,
{
    let mut probes = JoinSet::new();
    loop {
        let plan = pool.plan();
        for (id, probe) in pool.begin_probes(Instant::now().into_std()) {
            let asked = plan.inquiry(id).map(&run);
            probes.spawn(async move {
                let evidence = match asked {
                    Some(asked) => asked
                        .await
                        .map_or_else(|error| error.evidence(), |()| Evidence::Answered),
                    None => Evidence::Nothing,
                };
                (id, probe, evidence)
            });
        }
        let next = pool.next_probe().map(Instant::from_std);
        let due = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = pool.rescheduled() => {}
            Some(ended) = probes.join_next() => match ended {
                Ok((id, probe, evidence)) => {
                    pool.probed(Instant::now().into_std(), id, probe, evidence);
                }
                Err(error) => tracing::error!(%error, "a probe panicked"),
            },
        }
    }
}

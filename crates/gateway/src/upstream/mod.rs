//! Which upstream of an endpoint a new connection gets, and which of them are usable.
//!
//! In: an [`Endpoint`](crate::settings::Endpoint)'s upstreams, balance, ejection and health. Out: a
//! [`Lease`] per connection. All decisions are in `roster` and below it, pure functions of
//! settings, reports and the time; [`Pool`] shares them behind one small lock; a [`Prober`] per pool
//! checks. Told to operators in `docs/gateway/upstreams.md`.

mod pool; // shared by all who open connections
mod lease; // one connection to one upstream
mod shared; // between the two
mod prober; // asks again and again who is alive
mod inquiry; // asks when openings cast a doubt
mod check; // asks once
mod roster; // the members, picked and judged
mod no_upstream; // nobody can be picked
mod balance; // whose turn it is
mod hash; // which key belongs where
mod member; // one upstream and all that is known about it
mod breaker; // what openings teach
mod fault; // who caused it
mod health; // what checks teach
mod alarm; // who is told when they fail
#[cfg(test)]
mod tests;

pub(crate) use self::check::{answers, explain};
pub use self::{
    breaker::BreakerState,
    fault::{Evidence, Fault},
    hash::ClientKey,
    health::HealthStatus,
    lease::{EARLY, Lease},
    member::{Totals, UpstreamId, UpstreamSnapshot},
    no_upstream::{NoUpstream, Reason},
    pool::Pool,
    prober::Prober,
    roster::PoolSnapshot,
};

//! Rates of clients, users who may not connect at all, and the reasons of refusals and closes.
//!
//! In: connections, credentials, messages, requests of an administrator. Out: go on, wait, or an end with a reason that is
//! counted. Invariants: every table has a bound; what a reload changes are the rules, not what was counted; nothing here
//! waits for anything but the connect hook.

mod bucket; // rates, and buckets by key
mod logins; // wrong credentials
mod blocks; // users who may not connect
mod reasons; // refusals and closes, counted
mod rules; // the keys as rates
mod pace; // what one connection sends
mod hook; // the backend that decides
mod requests; // credentials, and how many requests there may be

use std::{io, net::IpAddr, path::Path, sync::Arc, time::Duration};

use parking_lot::RwLock;
use tidewire::net::limited_as;
use tidewire_auth::Identity;
use tidewire_hub::UserId;
use tokio::time::Instant;

pub(crate) use self::{
    blocks::{Block, BlockError, Blocks},
    hook::{Hook, Verdict},
    pace::{Pace, Paced},
    reasons::{CloseReason, Reasons, RefusalReason, Tally},
    requests::{Login, NotIdentified, TOO_MANY_LOGINS},
    rules::{Rules, accept_rate, half_open_max},
};
use self::{bucket::Buckets, logins::Logins};

/// Shared by both listeners for as long as the server runs.
#[derive(Debug)]
pub(crate) struct Shaping {
    rules: RwLock<Arc<Rules>>,
    logins: Logins,
    connects: Buckets<IpAddr>,
    user_connects: Buckets<UserId>,
    requests: Buckets<IpAddr>,
    /// Messages, bytes.
    users: [Buckets<UserId>; 2],
    addresses: [Buckets<IpAddr>; 2],
    pub(crate) blocks: Blocks,
    pub(crate) reasons: Arc<Reasons>,
}

impl Shaping {
    /// # Errors
    /// The list of blocked users is there and cannot be read.
    pub(crate) fn open(data_dir: &Path, rules: Rules) -> io::Result<Self> {
        let max = rules.entries_max;
        Ok(Self {
            logins: Logins::default(),
            connects: Buckets::new(max),
            user_connects: Buckets::new(max),
            requests: Buckets::new(max),
            users: [Buckets::new(max), Buckets::new(max)],
            addresses: [Buckets::new(max), Buckets::new(max)],
            blocks: Blocks::open(data_dir)?,
            reasons: Arc::default(),
            rules: RwLock::new(Arc::new(rules)),
        })
    }

    /// Takes other rules, for what comes.
    pub(crate) fn reload(&self, rules: Rules) {
        let max = rules.entries_max;
        self.connects.bound(max);
        self.user_connects.bound(max);
        self.requests.bound(max);
        self.users.iter().for_each(|table| table.bound(max));
        self.addresses.iter().for_each(|table| table.bound(max));
        *self.rules.write() = Arc::new(rules);
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read())
    }

    /// Checks that credentials are to be looked at.
    ///
    /// # Errors
    /// How long they are not.
    pub(crate) fn check_login(
        &self,
        address: Option<IpAddr>,
        account: Option<&str>,
    ) -> Result<(), Duration> {
        let rules = self.rules();
        if rules.exempts_address(address) {
            return Ok(());
        }
        self.logins.check(&rules.logins, address, account)
    }

    /// The credentials were wrong.
    pub(crate) fn login_failed(&self, address: Option<IpAddr>, account: Option<&str>) {
        let rules = self.rules();
        if !rules.exempts_address(address) {
            self.logins.failed(&rules.logins, address, account);
        }
    }

    /// The credentials were right.
    pub(crate) fn login_passed(&self, address: Option<IpAddr>, account: Option<&str>) {
        self.logins.passed(address, account);
    }

    /// Counts a connection of a user.
    ///
    /// # Errors
    /// There were too many in this minute; how long to wait.
    pub(crate) fn admit_connect(
        &self,
        address: Option<IpAddr>,
        user: &UserId,
        identity: &Identity,
    ) -> Result<(), Duration> {
        let rules = self.rules();
        if rules.exempts_address(address) || rules.exempts_user(user, identity) {
            return Ok(());
        }
        let now = Instant::now();
        if let (Some(rate), Some(address)) = (rules.connects, address) {
            let bucket = self.connects.of(&limited_as(address), now);
            bucket.admit(rate, now)?;
        }
        if let Some(rate) = rules.user_connects {
            self.user_connects.of(user, now).admit(rate, now)?;
        }
        Ok(())
    }

    /// Counts a request of the REST API.
    ///
    /// # Errors
    /// There were too many in this second; how long to wait.
    pub(crate) fn admit_request(&self, address: Option<IpAddr>) -> Result<(), Duration> {
        let rules = self.rules();
        match (rules.requests, address) {
            (Some(rate), Some(address)) if !rules.exempts_address(Some(address)) => {
                let now = Instant::now();
                let bucket = self.requests.of(&limited_as(address), now);
                bucket.admit(rate, now)
            }
            _ => Ok(()),
        }
    }

    /// The pace of a new connection; `None` when it has no limits.
    pub(crate) fn pace(
        &self,
        address: Option<IpAddr>,
        user: &UserId,
        identity: &Identity,
    ) -> Option<Box<Pace>> {
        let rules = self.rules();
        if rules.exempts_address(address) || rules.exempts_user(user, identity) {
            return None;
        }
        let now = Instant::now();
        let mut flows = vec![(rules.connection, Arc::default(), Arc::default())];
        if !rules.user.is_unlimited() {
            let [messages, bytes] = self.users.each_ref().map(|table| table.of(user, now));
            flows.push((rules.user, messages, bytes));
        }
        if let Some(address) = address.map(limited_as)
            && !rules.address.is_unlimited()
        {
            let [messages, bytes] = self
                .addresses
                .each_ref()
                .map(|table| table.of(&address, now));
            flows.push((rules.address, messages, bytes));
        }
        Pace::new(flows, rules.when_exceeded).map(Box::new)
    }
}

/// For people and for `Retry-After`: whole seconds, at least one, and a few more at random, so that those who were
/// refused together do not come back together.
pub(crate) fn retry_after(wait: Duration) -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    let seconds = wait.as_secs() + 1;
    let spread = (seconds / 4).max(1);
    seconds + RandomState::new().hash_one(()) % (spread + 1)
}

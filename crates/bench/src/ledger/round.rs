//! One round: users talk through fault proxies while the server may be killed, then everything
//! is healed, drained and compared.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use anyhow::Context as _;
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::sleep,
};

use super::{
    Options,
    book::Balance,
    drain,
    kind::{Kind, Pong},
    pace::Pace,
    plan::Faults,
    proxy::{Proxy, Upstream},
    random::Random,
    rest::Rest,
    rest_user::RestUser,
    user::User,
    world::World,
};
use crate::child::MessagingServer;

/// The server under test, and where the proxies find it.
#[derive(Clone)]
struct Server {
    process: Arc<Mutex<MessagingServer>>,
    messaging: Upstream,
    rest: Upstream,
}

/// What came of a round.
pub(super) struct Outcome {
    pub(super) balance: Balance,
    pub(super) kinds: Vec<(u64, Kind)>,
    pub(super) kills: u64,
    /// Messages that are still in the server's mailboxes.
    pub(super) pending: u64,
    /// Messages that the server gave up after their time to live.
    pub(super) expired: u64,
}

pub(super) async fn run(options: &Options, seed: u64) -> anyhow::Result<Outcome> {
    let pace = Pace::new(options.speed);
    let server = Server::start(&options.server, &config(pace, options.mailbox))?;
    let faults = Faults {
        kinds: options.faults(),
        stall: options.stall.clone(),
        pace,
    };
    let messaging = Proxy::start(Upstream::clone(&server.messaging), faults.clone(), seed).await?;
    let rest = Proxy::start(Upstream::clone(&server.rest), faults, !seed).await?;
    let kinds = kinds(options, seed);
    let recipients: Vec<u64> = kinds
        .iter()
        .filter(|(_, kind)| !kind.sends_by_rest())
        .map(|(user, _)| *user)
        .collect();
    let world = Arc::new(World {
        ledger: Mutex::default(),
        messaging: messaging.address,
        rest: rest.address,
        recipients,
        pace,
        interval: options.interval(),
        has_quota: options.mailbox.is_some(),
    });

    let mut users = spawn_users(&world, &kinds, seed);
    let time = Duration::from_secs_f64(options.seconds);
    let mut kills = 0;
    if options.kill {
        kills = kill_repeatedly(&server, pace, Random::new(seed, 1), time).await?;
    } else {
        sleep(time).await;
    }
    users.shutdown().await;
    for proxy in [&messaging, &rest] {
        proxy.heal();
    }
    drain_all(&world, seed).await;
    let metrics = Rest::connect(rest.address).await?.get("/metrics").await?;
    let probes = drain::PROBES * world.recipients.len() as u64;
    messaging.stop().await;
    rest.stop().await;
    let mute = kinds
        .iter()
        .filter(|(_, kind)| kind.pong() == Pong::Never)
        .map(|(user, _)| *user)
        .collect();
    let let_go = metric(&metrics, "released_unproven");
    let world = Arc::into_inner(world).context("all users have ended")?;
    Ok(Outcome {
        balance: world.into_ledger().balance(&mute, let_go),
        kinds,
        kills,
        pending: metric(&metrics, "mailbox_pending_messages").saturating_sub(probes),
        expired: metric(&metrics, "mailbox_expired"),
    })
}

/// Quotas are out of the way if not asked for, and acceptance is told by the send-back copy.
fn config(pace: Pace, mailbox: Option<u32>) -> String {
    let (pong, ping) = pace.keep_alive_seconds();
    let mailbox = mailbox.unwrap_or(10_000_000);
    format!(
        "[log]\nlevel = \"error\"\n[chat]\nsend_back = true\n[server.keep_alive]\nping_interval = \"{ping}s\"\n\
         pong_timeout = \"{pong}s\"\n[mailbox]\nuser_messages_max = {mailbox}\nuser_bytes_max = \"4G\"\n\
         messages_max = 10000000\nbytes_max = \"16G\"\n"
    )
}

/// Users in turn over the kinds, from a random one on.
fn kinds(options: &Options, seed: u64) -> Vec<(u64, Kind)> {
    let kinds = options.clients();
    let first = Random::new(seed, 2).below(kinds.len() as u64);
    let turn = kinds
        .iter()
        .cycle()
        .skip(usize::try_from(first).unwrap_or_default());
    (1..=options.users).zip(turn.copied()).collect()
}

fn spawn_users(world: &Arc<World>, kinds: &[(u64, Kind)], seed: u64) -> JoinSet<()> {
    let mut users = JoinSet::new();
    for &(id, kind) in kinds {
        let (world, random) = (Arc::clone(world), Random::new(seed, 1000 + id));
        if kind.sends_by_rest() {
            let user = RestUser {
                id,
                kind,
                random,
                world,
            };
            users.spawn(async move { user.run().await });
        } else {
            let user = User {
                id,
                kind,
                random,
                world,
            };
            users.spawn(async move { user.run().await });
        }
    }
    users
}

async fn drain_all(world: &Arc<World>, seed: u64) {
    let mut drains = JoinSet::new();
    for &user in &world.recipients {
        let random = Random::new(seed, 1_000_000 + user);
        drains.spawn(drain::drain(Arc::clone(world), user, random));
    }
    drains.join_all().await;
}

/// The value of the first sample whose name has this in it; 0 without one.
fn metric(metrics: &str, name: &str) -> u64 {
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    let mut values = samples.filter(|line| line.contains(name));
    let value = values.next().and_then(|line| line.rsplit(' ').next());
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or_default()
}

/// Kills the server at random instants and starts it again, for so long; it runs at the end.
async fn kill_repeatedly(
    server: &Server,
    pace: Pace,
    mut random: Random,
    time: Duration,
) -> anyhow::Result<u64> {
    let mut kills = 0;
    let mut killing = Box::pin(sleep(time));
    loop {
        let alive = pace.pick(&mut random, &(500..=15_000));
        tokio::select! {
            () = &mut killing => return Ok(kills),
            () = sleep(alive) => {}
        }
        let dying = server.clone();
        spawn_blocking(move || dying.process().kill()).await??;
        sleep(pace.pick(&mut random, &(0..=3_000))).await;
        let starting = server.clone();
        spawn_blocking(move || starting.restart()).await??;
        kills += 1;
    }
}

impl Server {
    fn start(program: &Path, config: &str) -> anyhow::Result<Self> {
        let process = MessagingServer::start_unpinned(program, config)?;
        Ok(Self {
            messaging: Arc::new(AtomicU16::new(process.port)),
            rest: Arc::new(AtomicU16::new(process.rest_port)),
            process: Arc::new(Mutex::new(process)),
        })
    }

    fn restart(&self) -> anyhow::Result<()> {
        let mut process = self.process();
        process.restart()?;
        self.messaging.store(process.port, Ordering::Release);
        self.rest.store(process.rest_port, Ordering::Release);
        Ok(())
    }

    fn process(&self) -> parking_lot::MutexGuard<'_, MessagingServer> {
        self.process.lock()
    }
}

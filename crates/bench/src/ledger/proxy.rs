//! A TCP proxy that does to each connection what its [`Plan`] says.
//!
//! It is healed at the end of a round: stalls end, what is held back passes, connections that
//! were silent are cut, and new ones are left alone.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    plan::{Direction, Faults, Plan, Silence, Stall},
    random::Random,
};

/// A running proxy; its connections end with it.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    healed: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// The port of a server that may be started again elsewhere.
pub(super) type Upstream = Arc<AtomicU16>;

/// The connection is over at once.
#[derive(Debug)]
struct Cut;

impl From<io::Error> for Cut {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Proxy {
    pub(super) async fn start(upstream: Upstream, faults: Faults, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (healed, is_healed) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, upstream, faults, seed, is_healed));
        Ok(Self {
            address,
            healed,
            tasks,
        })
    }

    pub(super) fn heal(&self) {
        self.healed.send_replace(true);
    }

    pub(super) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn accept(
    listener: TcpListener,
    upstream: Upstream,
    faults: Faults,
    seed: u64,
    healed: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let calm = Faults {
        kinds: Vec::new(),
        ..faults.clone()
    };
    for number in 0.. {
        // Only a lack of descriptors makes this fail, and then a client tries again.
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let faults = if *healed.borrow() { &calm } else { &faults };
        let plan = Plan::new(faults, Random::new(seed, number));
        let port = upstream.load(Ordering::Acquire);
        connections.spawn(connection(client, port, plan, healed.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(mut client: TcpStream, port: u16, plan: Plan, healed: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
        client.set_zero_linger().ok();
        return;
    };
    for socket in [&client, &server] {
        socket.set_nodelay(true).ok();
    }
    let begun = Instant::now();
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let pump = |direction, from, to| Pump {
        from,
        to,
        direction,
        silence: plan.silence,
        begun,
        healed: healed.clone(),
    };
    let up = pump(plan.up, from_client, to_server);
    let down = pump(plan.down, from_server, to_client);
    let ended = tokio::try_join!(up.run(), down.run());
    if ended.is_err() && plan.is_reset {
        client.set_zero_linger().ok();
        server.set_zero_linger().ok();
    }
}

/// Moves bytes in one direction.
#[derive(Debug)]
struct Pump<'a> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    direction: Direction,
    silence: Option<Silence>,
    begun: Instant,
    healed: watch::Receiver<bool>,
}

impl Pump<'_> {
    async fn run(mut self) -> Result<(), Cut> {
        let mut buffer = vec![0; 16 << 10];
        let mut stall = self.direction.next_stall();
        let mut since = self.begun;
        loop {
            let count = self.read(&mut buffer).await?;
            let chunk = buffer.get(..count).unwrap_or_default();
            if chunk.is_empty() {
                self.to.shutdown().await?;
                return Ok(());
            }
            match stall {
                Some(due) if since.elapsed() >= due.after && !self.is_healed() => {
                    let random = &mut self.direction.random;
                    let split = random.below(chunk.len() as u64 + 1);
                    let (first, rest) = chunk.split_at(usize::try_from(split).unwrap_or_default());
                    self.write(first).await?;
                    self.stall(due).await?;
                    self.write(rest).await?;
                    (stall, since) = (self.direction.next_stall(), Instant::now());
                }
                _ => self.write(chunk).await?,
            }
        }
    }

    /// Returns what is to be passed on; drops what comes in silence, and ends when that does.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Cut> {
        let Some(Silence { after, is_read }) = self.silence else {
            return Ok(self.from.read(buffer).await?);
        };
        let silent_from = self.begun + after;
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(silent_from) => {}
            read = self.from.read(buffer) => return Ok(read?),
        }
        if is_read {
            let mut healed = self.healed.clone();
            let reading =
                async { while self.from.read(buffer).await.is_ok_and(|count| count > 0) {} };
            tokio::select! {
                () = reading => {}
                _ = healed.wait_for(|healed| *healed) => {}
            }
        }
        self.healed.wait_for(|healed| *healed).await.ok();
        Err(Cut)
    }

    async fn stall(&mut self, stall: Stall) -> Result<(), Cut> {
        self.pause(stall.lasts).await;
        if stall.ends_with_cut && !self.is_healed() {
            return Err(Cut);
        }
        Ok(())
    }

    /// Waits; not when healed.
    async fn pause(&mut self, duration: Duration) {
        tokio::select! {
            () = sleep(duration) => {}
            _ = self.healed.wait_for(|healed| *healed) => {}
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        let left = self.direction.bytes_until_cut;
        let passing = left.map_or(bytes.len(), |left| {
            usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len())
        });
        let (passing, cut) = bytes.split_at(passing);
        self.write_paced(passing).await?;
        if !cut.is_empty() && !self.is_healed() {
            return Err(Cut);
        }
        self.write_paced(cut).await?;
        self.direction.bytes_until_cut = left.map(|left| left - passing.len() as u64);
        Ok(())
    }

    async fn write_paced(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = if self.direction.is_sliced && !self.is_healed() {
                1 + usize::try_from(self.direction.random.below(7)).unwrap_or_default()
            } else {
                rest.len()
            };
            let (piece, behind) = rest.split_at(len.min(rest.len()));
            self.to.write_all(piece).await?;
            rest = behind;
        }
        if let Some(rate) = self.direction.bytes_per_second {
            let micros = bytes.len() as u64 * 1_000_000 / rate;
            self.pause(Duration::from_micros(micros)).await;
        }
        Ok(())
    }

    fn is_healed(&self) -> bool {
        *self.healed.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{pace::Pace, plan::Fault};

    /// Returns what arrives of 5 000 bytes in each of several connections, through a proxy with this
    /// fault.
    async fn pass(fault: Fault) -> anyhow::Result<Vec<Vec<u8>>> {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let upstream = Arc::new(AtomicU16::new(server.local_addr()?.port()));
        let faults = Faults {
            kinds: vec![fault],
            stall: 0..=1,
            pace: Pace::new(10),
        };
        let proxy = Proxy::start(upstream, faults, 7).await?;
        let mut arrived = Vec::new();
        for _ in 0..20 {
            let mut client = TcpStream::connect(proxy.address).await?;
            let (mut accepted, _) = server.accept().await?;
            let mut bytes = Vec::new();
            let sending = async {
                client.write_all(&sent()).await.ok();
                client.shutdown().await.ok();
            };
            tokio::join!(sending, async {
                accepted.read_to_end(&mut bytes).await.ok()
            });
            arrived.push(bytes);
        }
        proxy.stop().await;
        Ok(arrived)
    }

    fn sent() -> Vec<u8> {
        (0..5000_u16)
            .map(|number| number.to_le_bytes()[0])
            .collect()
    }

    #[tokio::test]
    async fn slow_connections_pass_every_byte() -> anyhow::Result<()> {
        for fault in [Fault::Slice, Fault::Rate] {
            let arrived = pass(fault).await?;
            assert!(arrived.iter().all(|bytes| *bytes == sent()), "{fault:?}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn cut_connections_pass_the_first_bytes_only() -> anyhow::Result<()> {
        let (arrived, sent) = (pass(Fault::Cut).await?, sent());
        assert!(arrived.iter().all(|bytes| sent.starts_with(bytes)));
        assert!(arrived.iter().any(|bytes| bytes.len() < sent.len()));
        Ok(())
    }
}

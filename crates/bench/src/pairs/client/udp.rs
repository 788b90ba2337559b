//! UDP clients: echo, and members of a multicast group.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tidewire::udp::{
    Client, ConnectError, DatagramRef, Group, Handler, RecvError, Sender, Session, Socket,
};
use tokio::time::{sleep, timeout};

use super::{
    super::meter::{Event, Meter, Opening},
    job::{Job, chain, ended, pace},
};

/// Opens a socket and runs until the end of the run.
pub(super) async fn run(job: Arc<Job>, mut meter: Meter) {
    let socket = match job.until_connected(|| socket(&job)).await {
        Ok(socket) => socket,
        Err(reason) => return meter.tell(Event::Unreachable(reason)),
    };
    let sender = socket.sender();
    let opening = meter.connected();
    let meter = Arc::new(Mutex::new(meter));
    let first = match opening {
        Opening::AtOnce(count) => {
            if count > 0 {
                let (job, meter, sender) = (Arc::clone(&job), Arc::clone(&meter), sender.clone());
                tokio::spawn(async move { replace_lost(&job, &meter, &sender).await });
            }
            count
        }
        Opening::Paced(schedule) => {
            let (job, sender) = (Arc::clone(&job), sender.clone());
            tokio::spawn(async move {
                pace(&job, schedule, || sender.try_send(&job.payload).is_ok()).await;
            });
            0
        }
    };
    let datagrams = Datagrams {
        job: Arc::clone(&job),
        meter,
        first,
    };
    let mut running = pin!(socket.run(datagrams));
    tokio::select! {
        _ended = &mut running => {}
        () = job.stopped() => {
            sender.close();
            timeout(CLOSING, running).await.ok();
        }
    }
}

const CLOSING: Duration = Duration::from_secs(1);

async fn socket(job: &Job) -> Result<Socket, ConnectError> {
    if !job.settings.pair.is_group() {
        return Client::new(job.authority()).connect().await;
    }
    // An address that is none of a group is refused by `group`, in words.
    let group = job.settings.address.parse::<IpAddr>();
    let group = group.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let any: IpAddr = if group.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let group = Group::new(group).interface(job.settings.interface.as_str());
    let listen = SocketAddr::new(any, job.settings.port);
    Client::listen(listen).group(group).connect().await
}

/// Datagrams get lost, and each takes a message under way with it: when nothing has come for a while, all are sent anew.
async fn replace_lost(job: &Job, meter: &Mutex<Meter>, sender: &Sender) {
    const PATIENCE: Duration = Duration::from_millis(100);
    let mut before = None;
    while !job.is_stopped() {
        sleep(PATIENCE).await;
        let mut meter = meter.lock();
        let received = meter.messages();
        if before == Some(received) && !meter.is_finished() {
            let again = meter.lost();
            drop(meter);
            send_many(job, sender, again);
        }
        before = Some(received);
    }
}

fn send_many(job: &Job, sender: &Sender, count: u64) {
    // What does not fit is lost, and counted as such the next time.
    sender
        .try_send_many(|batch| {
            for _ in 0..count {
                if batch.send(&job.payload).is_err() {
                    break;
                }
            }
        })
        .ok();
}

/// Counts datagrams and answers each with the next.
struct Datagrams {
    job: Arc<Job>,
    /// Shared with the task that replaces what is lost.
    meter: Arc<Mutex<Meter>>,
    /// Messages to send at the beginning.
    first: u64,
}

impl Datagrams {
    #[inline]
    fn send(&self, session: &mut Session<'_>, count: u64) {
        for _ in 0..count {
            // Full: lost like one that the system drops.
            if session.send(&self.job.payload).is_err() {
                break;
            }
        }
    }
}

impl Handler for Datagrams {
    fn opened(&mut self, session: &mut Session<'_>) {
        self.send(session, self.first);
    }

    #[inline]
    fn received(&mut self, session: &mut Session<'_>, datagram: DatagramRef<'_>) {
        let next = self.meter.lock().received(1, datagram.payload.len());
        self.send(session, next);
    }

    fn closed(&mut self, outcome: Result<(), &RecvError>) {
        if let Err(error) = outcome {
            ended(&self.job, &self.meter.lock(), chain(error));
        }
    }
}

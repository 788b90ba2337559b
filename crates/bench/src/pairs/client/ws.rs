//! WebSocket clients, in handler style.

use std::{pin::pin, sync::Arc, time::Duration};

use tidewire::ws::{
    Client, CloseCode, CloseFrame, Config, Handler, Kind, MessageRef, RecvError, Sender, Session,
};
use tokio::time::timeout;

use super::{
    super::{
        latency::Schedule,
        meter::{Event, Meter, Opening},
        scenario::Transport,
    },
    job::{Job, chain, ended, pace},
};

/// Connects and runs until the end of the run.
pub(super) async fn run(job: Arc<Job>, mut meter: Meter) {
    let client = match client(&job) {
        Ok(client) => client,
        Err(reason) => return meter.tell(Event::Unreachable(reason)),
    };
    let socket = match job.until_connected(|| client.connect()).await {
        Ok(socket) => socket,
        Err(reason) => return meter.tell(Event::Unreachable(reason)),
    };
    let sender = socket.sender();
    let first = match meter.connected() {
        Opening::AtOnce(count) => count,
        Opening::Paced(schedule) => {
            tokio::spawn(paced(Arc::clone(&job), schedule, sender.clone()));
            0
        }
    };
    let handler = Messages {
        job: Arc::clone(&job),
        meter,
        first,
    };
    let mut running = pin!(socket.run(handler));
    tokio::select! {
        _ended = &mut running => {}
        () = job.stopped() => {
            sender.close(CloseCode::NORMAL, "");
            // A server that does not answer is left without its answer.
            timeout(CLOSING, running).await.ok();
        }
    }
}

const CLOSING: Duration = Duration::from_secs(1);

fn client(job: &Job) -> Result<Client, String> {
    let is_encrypted = job.transport() == Transport::Wss;
    let scheme = if is_encrypted { "wss" } else { "ws" };
    let url = format!("{scheme}://{}/", job.authority());
    let client = Client::new(&url).map_err(|error| chain(&error))?;
    let client = if is_encrypted {
        client.tls(job.tls())
    } else {
        client
    };
    let mut config = Config::default();
    let size = job.settings.size;
    config.message_bytes_max = config.message_bytes_max.max(size);
    config.frame_bytes_max = config.frame_bytes_max.max(size);
    // All messages under way, with their heads, fit.
    let queued = job.settings.in_flight.saturating_mul(size + 14);
    config.send_queue_bytes_max = config.send_queue_bytes_max.max(queued.saturating_mul(2));
    Ok(client.config(config))
}

async fn paced(job: Arc<Job>, schedule: Schedule, sender: Sender) {
    pace(&job, schedule, || {
        sender.try_send_ref(Kind::Binary, &job.payload).is_ok()
    })
    .await;
}

/// Counts messages and answers each with the next.
struct Messages {
    job: Arc<Job>,
    meter: Meter,
    /// Messages to send at the beginning.
    first: u64,
}

impl Messages {
    #[inline]
    fn send(&self, session: &mut Session<'_>, count: u64) {
        for _ in 0..count {
            // Refused only once the connection is closing, which `closed` is told of.
            if session.send_binary(&self.job.payload).is_err() {
                break;
            }
        }
    }
}

impl Handler for Messages {
    fn opened(&mut self, session: &mut Session<'_>) {
        self.send(session, self.first);
    }

    #[inline]
    fn message(&mut self, session: &mut Session<'_>, message: MessageRef<'_>) {
        let next = self.meter.received(1, message.payload().len());
        self.send(session, next);
    }

    fn closed(&mut self, outcome: Result<Option<&CloseFrame>, &RecvError>) {
        match outcome {
            Ok(_close) => ended(&self.job, &self.meter, "the server closed the connection"),
            Err(error) => ended(&self.job, &self.meter, chain(error)),
        }
    }
}

//! Clients of what is spoken over a byte stream, plain or through TLS: connects, lets a handler count and answer, paces
//! an open loop, closes.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tidewire::tcp::{Client, Config, Handler, RecvError, Sender, Session};
use tokio::time::timeout;

use super::{
    super::{
        latency::Schedule,
        meter::{Event, Meter, Opening},
    },
    job::{Job, chain, ended, pace},
};

/// How messages lie in a stream.
pub(super) trait Messages: Send + 'static {
    /// A message to send, the same every time.
    fn message(job: &Job) -> Bytes;

    /// Bytes came. Returns how many messages ended in them and how many bytes are of no use before more have come.
    ///
    /// # Errors
    /// The bytes are no message; the reason in words.
    fn split(&mut self, job: &Job, bytes: &[u8]) -> Result<Split, String>;
}

/// The messages found in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) messages: u64,
    /// Bytes at the end that are to come again, with more behind them.
    pub(super) unread: usize,
}

/// Connects and runs until the end of the run.
pub(super) async fn run<M: Messages + Default>(job: Arc<Job>, mut meter: Meter) {
    let message = M::message(&job);
    let client = client(&job, message.len());
    let connection = match job.until_connected(|| client.connect()).await {
        Ok(connection) => connection,
        Err(reason) => return meter.tell(Event::Unreachable(reason)),
    };
    let sender = connection.sender();
    let first = match meter.connected() {
        Opening::AtOnce(count) => count,
        Opening::Paced(schedule) => {
            let (job, sender) = (Arc::clone(&job), sender.clone());
            tokio::spawn(paced(job, schedule, sender, message.clone()));
            0
        }
    };
    let driver = Driver {
        messages: M::default(),
        many: many(&message),
        size: message.len(),
        job: Arc::clone(&job),
        meter,
        first,
        wrong: None,
    };
    let mut running = pin!(connection.run(driver));
    tokio::select! {
        _ended = &mut running => {}
        () = job.stopped() => {
            sender.close();
            // A server that does not end its direction is left.
            timeout(CLOSING, running).await.ok();
        }
    }
}

const CLOSING: Duration = Duration::from_secs(1);

fn client(job: &Job, message_len: usize) -> Client {
    let mut config = Config::default();
    // All messages under way fit.
    let queued = job.settings.in_flight.saturating_mul(message_len);
    config.send_queue_bytes_max = config.send_queue_bytes_max.max(queued.saturating_mul(2));
    let client = Client::new(job.authority()).config(config);
    if job.transport().is_encrypted() {
        client.tls(job.tls())
    } else {
        client
    }
}

/// A message, repeated: any number of messages is a few slices of this.
fn many(message: &Bytes) -> Bytes {
    const ABOUT: usize = 64 << 10;
    let mut many = BytesMut::new();
    while many.is_empty() || many.len() < ABOUT && !message.is_empty() {
        many.extend_from_slice(message);
    }
    many.freeze()
}

async fn paced(job: Arc<Job>, schedule: Schedule, sender: Sender, message: Bytes) {
    pace(&job, schedule, || sender.try_send(message.clone()).is_ok()).await;
}

/// Counts messages and answers each with the next.
struct Driver<M> {
    messages: M,
    many: Bytes,
    size: usize,
    job: Arc<Job>,
    meter: Meter,
    /// Messages to send at the beginning.
    first: u64,
    /// The reason why the bytes that came are no message.
    wrong: Option<String>,
}

impl<M: Messages> Driver<M> {
    #[inline]
    fn send(&self, session: &mut Session<'_>, count: u64) {
        let mut left = usize::try_from(count).unwrap_or(usize::MAX) * self.size;
        while left > 0 {
            let len = left.min(self.many.len());
            // Refused only once the connection is ending, which `closed` is told of.
            if session.send(&self.many[..len]).is_err() {
                break;
            }
            left -= len;
        }
    }
}

impl<M: Messages> Handler for Driver<M> {
    fn opened(&mut self, session: &mut Session<'_>) {
        self.send(session, self.first);
    }

    #[inline]
    fn received(&mut self, session: &mut Session<'_>, bytes: &[u8]) {
        match self.messages.split(&self.job, bytes) {
            Ok(Split { messages, unread }) => {
                let next = self.meter.received(messages, bytes.len() - unread);
                self.send(session, next);
                session.keep_unread(unread);
            }
            Err(wrong) => {
                self.wrong = Some(wrong);
                session.abort();
            }
        }
    }

    fn closed(&mut self, outcome: Result<(), &RecvError>) {
        let reason = match (self.wrong.take(), outcome) {
            (Some(wrong), _) => wrong,
            (None, Err(error)) => chain(error),
            (None, Ok(())) => "the server closed the connection".to_owned(),
        };
        ended(&self.job, &self.meter, reason);
    }
}

/// Messages of one size, without anything between them.
#[derive(Debug, Default)]
pub(super) struct Plain {
    /// Bytes of a message whose end has not come.
    begun: usize,
}

impl Messages for Plain {
    fn message(job: &Job) -> Bytes {
        job.payload.clone()
    }

    #[inline]
    fn split(&mut self, job: &Job, bytes: &[u8]) -> Result<Split, String> {
        let size = job.payload.len();
        self.begun += bytes.len();
        let messages = self.begun / size;
        self.begun %= size;
        Ok(Split {
            messages: messages as u64,
            unread: 0,
        })
    }
}

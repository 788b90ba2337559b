//! What the hub costs per message beside the store.
//!
//! One thread plays sender, store and receivers, so that the numbers are CPU time of the hub: the
//! store is a queue in memory that completes appends at once and keeps nothing.
//!
//! ```text
//! cargo run --release -p tidewire-hub --example fanout
//! cargo run --release -p tidewire-hub --example fanout -- --without-trace
//! ```
#![expect(clippy::print_stdout, reason = "it prints its result")]

use std::{
    collections::{HashMap, VecDeque},
    error::Error,
    hint::black_box,
    sync::Arc,
    task::{Context, Waker},
    time::Instant,
};

use parking_lot::Mutex;

use tidewire_dialect::{Classic, Dialect as _};
use tidewire_engine::{
    Append, Appended, Batch, Mailbox, MailboxStats, OnAppend, OnPurge, OnRead, Placed, Purge,
    SubmitError, UserKey,
};
use tidewire_hub::{Config, Event, Hub, Session, Settings, TraceConfig, UserId};

fn main() -> Result<(), Box<dyn Error>> {
    for (recipients, text_len, messages) in [
        (1, 32, 1_000_000),
        (1, 1024, 500_000),
        (10, 32, 200_000),
        (100, 32, 20_000),
        (256, 32, 8_000),
    ] {
        run(recipients, text_len, messages)?;
    }
    Ok(())
}

fn run(recipients: u64, text_len: usize, messages: usize) -> Result<(), Box<dyn Error>> {
    let store = Arc::new(Forgetful::default());
    let config = Config {
        delivery_status: false,
        trace: TraceConfig {
            enabled: !std::env::args().any(|argument| argument == "--without-trace"),
            ..TraceConfig::default()
        },
        ..Config::default()
    };
    let hub = Hub::new(Settings::try_from(config)?, store.clone());
    let sender = hub.connect(UserId::from(1))?;
    let receivers = (2..2 + recipients)
        .map(|user| hub.connect(UserId::from(user)))
        .collect::<Result<Vec<Session>, _>>()?;
    store.complete();
    let ids: Vec<String> = (2..2 + recipients).map(|user| user.to_string()).collect();
    let payload = format!(
        r#"{{"type":"text","sender":1,"recipients":[{}],"text":"{}"}}"#,
        ids.join(","),
        "x".repeat(text_len)
    );
    let mut events = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    let start = Instant::now();
    let mut submitted = 0;
    while submitted < messages {
        let batch_end = messages.min(submitted + BATCH);
        // As a connection does: no more than may be pending.
        while submitted < batch_end && sender.poll_ready_to_submit(&mut cx, true).is_ready() {
            let command = Classic::decode(payload.as_bytes(), sender.user(), sender.settings())?;
            sender.submit(command, payload.len())?;
            submitted += 1;
        }
        store.complete();
        // Its notices, such as a refusal: there are to be none.
        if sender
            .poll_outgoing(&mut cx, &mut events, usize::MAX)
            .is_ready()
            && let Some(event) = events.pop()
        {
            return Err(format!("the sender was told {event:?}").into());
        }
        for receiver in &receivers {
            while receiver
                .poll_outgoing(&mut cx, &mut events, usize::MAX)
                .is_ready()
            {}
            for event in events.drain(..) {
                if let Event::Publication(publication) = event {
                    black_box(publication.rendered(Classic::publication));
                }
            }
            receiver.confirm(receiver.mark());
        }
    }
    let elapsed = start.elapsed();
    let totals = hub.totals();
    let delivered = messages as u64 * recipients;
    if totals.delivered != delivered {
        return Err(format!("expected {delivered} deliveries: {totals:?}").into());
    }
    println!(
        "{recipients:>4} recipients, text of {text_len:>5} bytes: {:>8} ns per message, {:>6} ns per delivery",
        elapsed.as_nanos() / messages as u128,
        elapsed.as_nanos() / u128::from(delivered),
    );
    Ok(())
}

/// Most messages that the store commits at once.
const BATCH: usize = 50;

#[derive(Debug, Default)]
struct Forgetful {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    appends: VecDeque<(Append, OnAppend)>,
    reads: Vec<OnRead>,
    offsets: HashMap<UserKey, u64>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("State")
    }
}

impl Forgetful {
    fn complete(&self) {
        let (reads, appends) = {
            let mut state = self.state.lock();
            (
                std::mem::take(&mut state.reads),
                std::mem::take(&mut state.appends),
            )
        };
        for done in reads {
            done(Ok(Batch {
                epoch: 1,
                messages: Vec::new(),
                gone_up_to: 0,
                last_offset: 0,
                more: false,
            }));
        }
        for (append, done) in appends {
            let outcomes = {
                let mut state = self.state.lock();
                let next = |user: UserKey| {
                    let offset = state.offsets.entry(user).or_default();
                    *offset += 1;
                    Ok(Placed {
                        offset: *offset,
                        previous: Some(*offset - 1),
                    })
                };
                append.recipients.into_iter().map(next).collect()
            };
            done(Ok(Appended { epoch: 1, outcomes }));
        }
    }
}

impl Mailbox for Forgetful {
    fn append(&self, append: Append, done: OnAppend) -> Result<(), SubmitError> {
        self.state.lock().appends.push_back((append, done));
        Ok(())
    }

    fn read(
        &self,
        _user: UserKey,
        _after: u64,
        _messages_max: usize,
        _bytes_max: usize,
        done: OnRead,
    ) -> Result<(), SubmitError> {
        self.state.lock().reads.push(done);
        Ok(())
    }

    fn ack(&self, _user: &UserKey, _up_to: u64) -> Result<(), SubmitError> {
        Ok(())
    }

    fn purge(&self, _: Purge, _: OnPurge) -> Result<(), SubmitError> {
        Err(SubmitError::Closed)
    }

    fn stats(&self) -> MailboxStats {
        MailboxStats::default()
    }

    fn stop(&self) {}
}

//! How many durable messages per second the embedded store takes from waiting submitters.
//!
//! Usage: `enqueue [SUBMITTERS] [MESSAGES] [BODY_BYTES] [DIR] [ack|-] [RECIPIENTS]`
//!
//! Each submitter appends one message to `RECIPIENTS` mailboxes (1) and waits for its completion
//! before the next, as a publisher does. With `ack` each message is acknowledged right after it
//! was stored, as if it had been delivered at once. Not measured: the network, the hub, power loss.
#![expect(clippy::print_stdout, reason = "a benchmark talks on stdout")]

use std::{
    env,
    error::Error,
    path::PathBuf,
    sync::mpsc::sync_channel,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tidewire_engine::{
    Append, Mailbox, MailboxStats, SqliteMailbox, SubmitError, UserKey, embedded::Config,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize, default: usize| {
        arguments
            .get(at)
            .map_or(Ok(default), |argument| argument.parse())
    };
    let (submitters, messages, payload) = (number(0, 100)?, number(1, 100_000)?, number(2, 200)?);
    let temporary = tempfile::tempdir()?;
    let dir: PathBuf = arguments
        .get(3)
        .map_or_else(|| temporary.path().into(), Into::into);
    let acknowledge = arguments.get(4).is_some_and(|argument| argument == "ack");
    let recipients = number(5, 1)?;
    let mut config = Config::new(dir);
    config.user_messages_max = messages as u64;
    config.user_bytes_max = 1 << 40;
    config.messages_max = u64::MAX;
    config.bytes_max = u64::MAX >> 1;
    let store = SqliteMailbox::open(config)?;

    let started = Instant::now();
    let mut latencies: Vec<Duration> = thread::scope(|scope| {
        let each = messages / submitters.max(1);
        let store = &*store;
        let run =
            move |submitter| submit(store, (submitter, recipients), each, payload, acknowledge);
        #[expect(
            clippy::needless_collect,
            reason = "all run before the first is waited for"
        )]
        let threads: Vec<_> = (0..submitters)
            .map(|submitter| scope.spawn(move || run(submitter)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_default())
            .collect()
    });
    let elapsed = started.elapsed();
    let stats = store.stats();
    store.stop();

    latencies.sort_unstable();
    println!("messages of {payload} bytes to {recipients} mailboxes, {submitters} submitters");
    report(&latencies, elapsed, &stats);
    Ok(())
}

fn report(latencies: &[Duration], elapsed: Duration, stats: &MailboxStats) {
    let stored = latencies.len();
    let percentile = |part: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a list that fits into memory"
        )]
        let at = (stored as f64 * part) as usize;
        latencies
            .get(at.min(stored.saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    };
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (rate, batch, each) = (
        stored as f64 / elapsed.as_secs_f64(),
        stored as f64 / stats.commits.max(1) as f64,
        elapsed.as_secs_f64() * 1e6 / stats.appended.max(1) as f64,
    );
    println!("{stored} messages in {elapsed:.2?}");
    println!(
        "{rate:.0} msg/s, {each:.2} us per mailbox, {} commits, mean batch {batch:.1}",
        stats.commits
    );
    println!(
        "completion p50 {:.2?}, p99 {:.2?}, p99.9 {:.2?}",
        percentile(0.5),
        percentile(0.99),
        percentile(0.999)
    );
}

/// Appends `messages` one after the other; returns how long each took.
fn submit(
    store: &SqliteMailbox,
    (submitter, recipients): (usize, usize),
    messages: usize,
    payload: usize,
    acknowledge: bool,
) -> Vec<Duration> {
    let users: Vec<UserKey> = (0..recipients)
        .map(|number| UserKey::from(format!("user-{submitter}-{number}")))
        .collect();
    let payload = Bytes::from(vec![b'x'; payload]);
    let (sender, receiver) = sync_channel(1);
    let mut latencies = Vec::with_capacity(messages);
    while latencies.len() < messages {
        let sender = sender.clone();
        let append = Append {
            recipients: users.clone(),
            body: payload.clone(),
            sender: None,
            ttl_ms: None,
            events: Vec::new(),
        };
        let started = Instant::now();
        let done = Box::new(move |result| {
            // The submitter waits for exactly this message.
            drop(sender.send(result));
        });
        match store.append(append, done) {
            Ok(()) => {}
            Err(SubmitError::Busy) => {
                thread::yield_now();
                continue;
            }
            Err(_) => break,
        }
        let Ok(Ok(appended)) = receiver.recv() else {
            break;
        };
        latencies.push(started.elapsed());
        let taken = users.iter().zip(appended.outcomes);
        for (user, outcome) in taken.filter(|_| acknowledge) {
            if store
                .ack(user, outcome.map_or(0, |placed| placed.offset))
                .is_err()
            {
                return latencies;
            }
        }
    }
    latencies
}

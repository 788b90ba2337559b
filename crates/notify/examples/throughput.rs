//! How many events per second go to one local receiver: from accepted messages over the store to HTTP requests in batches.
//!
//! ```sh
//! cargo run --release -p tidewire-notify --example throughput -- 200000 100
//! ```
//!
//! The arguments are the number of messages and the events of a request. Senders are 64 users, texts 100 bytes, each message is
//! stored in one mailbox too; the receiver reads requests and answers 204.
#![expect(clippy::print_stdout, reason = "its result")]

use std::{
    borrow::Cow,
    error::Error,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tidewire_auth::NoLookup;
use tidewire_config::{Checker, Source};
use tidewire_engine::{Mailbox, Outbox, SqliteMailbox, embedded::Config};
use tidewire_hub::{Draft, Hub, JsonText, Ports, Publication, Settings as HubSettings};
use tidewire_notify::{EventsConfig, Notifier, TargetConfig, check};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let messages: u64 = arguments.next().map_or(Ok(200_000), |text| text.parse())?;
    let batch: usize = arguments.next().map_or(Ok(100), |text| text.parse())?;
    let taken = Arc::new(AtomicU64::new(0));
    let url = receiver(Arc::clone(&taken)).await?;
    let dir = tempfile::tempdir()?;
    let (store, notifier, hub) = system(messages, batch, url, dir.path())?;
    let began = Instant::now();
    let window = Arc::new(Semaphore::new(4096));
    let text = format!("\"{}\"", "x".repeat(100));
    for number in 0..messages {
        let place = Arc::clone(&window).acquire_owned().await?;
        let mut recipients = hub.settings().recipients();
        recipients.add((1000 + number % 64).into());
        let draft = Draft {
            kind: JsonText::from_literal("\"text\"").unwrap_or(JsonText::EMPTY),
            sender: (1 + number % 64).into(),
            recipients: recipients.finish()?,
            text: JsonText::from_literal(&text).unwrap_or(JsonText::EMPTY),
            data: Cow::Borrowed("null"),
            timestamp: None,
            reference: None,
        };
        hub.submit_api(draft, Box::new(move |_| drop(place)));
    }
    let all = window.acquire_many(4096).await?;
    let accepted = began.elapsed();
    drop(all);
    while taken.load(Ordering::Relaxed) < messages {
        tokio::task::yield_now().await;
    }
    let delivered = began.elapsed();
    let rate = |count: u64, seconds: f64| {
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let count = count as f64;
        count / seconds
    };
    println!(
        "{messages} messages in batches of {batch}: accepted {:.0}/s, delivered {:.0}/s",
        rate(messages, accepted.as_secs_f64()),
        rate(messages, delivered.as_secs_f64())
    );
    notifier.stop().await;
    store.stop();
    Ok(())
}

type System = (Arc<SqliteMailbox>, Notifier, Arc<Hub>);

/// A store, a target and a hub.
fn system(messages: u64, batch: usize, url: String, dir: &Path) -> Result<System, Box<dyn Error>> {
    let mut target = TargetConfig::default();
    "target".clone_into(&mut target.name);
    target.batch_max = batch;
    target.postback = Some(tidewire_notify::targets::PostbackConfig {
        url,
        ..Default::default()
    });
    let events = EventsConfig {
        max_size: 1 << 30,
        ..EventsConfig::default()
    };
    let mut checker = Checker::new(&NoLookup, &|_| vec![Source::Default]);
    let settings = check(&mut checker, &events, &[target]);
    let settings = checker.finish(settings)?;
    let mut config = Config::new(dir);
    config.user_messages_max = messages + 1;
    config.sender_messages_max = messages + 1;
    config.outbox = settings.outbox.clone();
    let store = SqliteMailbox::open(config)?;
    let outbox: Arc<dyn Outbox> = Arc::<SqliteMailbox>::clone(&store);
    let render = Arc::new(|message: &Publication| {
        format!(
            "{{\"sender\":\"{}\",\"text\":{}}}",
            message.sender(),
            message.text_json()
        )
    });
    let notifier = Notifier::start(&settings, &outbox, render)?;
    let mailbox: Arc<dyn Mailbox> = Arc::<SqliteMailbox>::clone(&store);
    let mut ports = Ports::new(mailbox);
    ports.outbox = Some(outbox);
    let hub = tidewire_hub::Config {
        events: settings.selection,
        ..tidewire_hub::Config::default()
    };
    let hub = Hub::with_ports(HubSettings::try_from(hub)?, ports);
    Ok((store, notifier, hub))
}

/// Counts the events of the requests it takes.
async fn receiver(taken: Arc<AtomicU64>) -> Result<String, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let taken = Arc::clone(&taken);
            tokio::spawn(async move { serve(stream, &taken).await.ok() });
        }
    });
    Ok(url)
}

async fn serve(stream: TcpStream, taken: &AtomicU64) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap_or_default();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let mark = br#""kind":"message""#;
        let events = body
            .windows(mark.len())
            .filter(|window| window == mark)
            .count();
        taken.fetch_add(events as u64, Ordering::Relaxed);
        stream.write_all(b"HTTP/1.1 204 x\r\n\r\n").await?;
    }
}

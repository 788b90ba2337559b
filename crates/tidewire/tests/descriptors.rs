//! Out of file descriptors: a program of its own, since the limit is the process's.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use rlimit::Resource;
use tidewire::{
    service::Workers,
    ws::{Server, ServerConfig, WebSocket, connect},
};
use tracing::{Event, Level, Metadata, span};

/// How often the server could not accept.
static REFUSED_BY_SYSTEM: AtomicUsize = AtomicUsize::new(0);

/// Counts errors in the log; the only one here is that of accepting.
struct Errors;

impl tracing::Subscriber for Errors {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR && metadata.target().starts_with("tidewire::net::accept")
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, _event: &Event<'_>) {
        let count = REFUSED_BY_SYSTEM.fetch_add(1, Ordering::Relaxed);
        // Time would stand still for as long as it spins.
        assert!(count < 10_000, "accepting spins");
    }

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

async fn echo(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

async fn exchange(socket: &mut WebSocket, text: &str) {
    socket.send(text).await.unwrap();
    let answer = socket.recv().await.unwrap().unwrap();
    assert_eq!(answer.as_text(), Some(text));
}

/// The highest descriptor in use, as far as the system tells.
fn descriptors() -> u64 {
    let open = fs::read_dir("/proc/self/fd")
        .or_else(|_| fs::read_dir("/dev/fd"))
        .unwrap();
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn without_descriptors_connections_live_on_accepting_waits_and_recovers() {
    tracing::subscriber::set_global_default(Errors).unwrap();
    let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into());
    config.workers = Workers::Pool;
    let server = Server::new(config).route("/", echo).start().unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let mut before = connect(&url).await.unwrap();
    exchange(&mut before, "before").await;

    // From here on there are 40 descriptors left, and those who dial take them all.
    let (_, hard) = Resource::NOFILE.get().unwrap();
    Resource::NOFILE.set(descriptors() + 41, hard).unwrap();
    let mut dialed = Vec::new();
    let error = loop {
        match TcpStream::connect(server.local_addr()) {
            Ok(stream) => dialed.push(stream),
            Err(error) => break error,
        }
        assert!(dialed.len() <= 1000, "the limit holds");
    };
    assert_eq!(error.raw_os_error(), Some(24), "{error}"); // EMFILE
    let accepted_at_first = server.stats().connections;

    // Ten seconds: the others notice nothing, and it is tried every 50 ms at most.
    for second in 0..10 {
        exchange(&mut before, &format!("second {second}")).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let tried = REFUSED_BY_SYSTEM.load(Ordering::Relaxed);
    assert!(
        (1..=201).contains(&tried),
        "accepting was tried {tried} times in 10 s"
    );
    assert_eq!(
        server.stats().connections,
        accepted_at_first,
        "nothing is free"
    );

    // Those who wait are let in as soon as there is room.
    drop(dialed);
    let mut after = loop {
        match connect(&url).await {
            Ok(socket) => break socket,
            Err(_) => tokio::task::yield_now().await, // they are being let go
        }
    };
    exchange(&mut after, "after").await;
    exchange(&mut before, "and the first one too").await;
}

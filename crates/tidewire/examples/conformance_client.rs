//! The client that the Autobahn suite tests: `cargo xtask conformance --role client`.
//!
//! ```text
//! conformance_client [--deflate] [--trust CERTIFICATE] URL...
//! ```
//!
//! Each URL is a fuzzing server with the same cases. `URL/getCaseCount` tells their number;
//! every `URL/runCase?case=N` is then connected to once, at one of the URLs, and every message
//! sent back as it came, until the server ends it; `URL/updateReports` ends the run.

use std::{
    env,
    error::Error,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tidewire::{
    tls::ClientTls,
    ws::{Client, Config, ConnectError, DeflateConfig, Message, RecvError, WebSocket},
};
use tokio::task::JoinSet;

/// How to connect.
#[derive(Clone)]
struct Settings {
    config: Config,
    tls: Option<ClientTls>,
}

impl Settings {
    async fn connect(&self, url: &str, path: &str) -> Result<WebSocket, ConnectError> {
        let mut client = Client::new(&format!("{url}/{path}"))?.config(self.config.clone());
        if let Some(tls) = &self.tls {
            client = client.tls(tls.clone());
        }
        client.connect().await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut deflate = false;
    let mut tls = None;
    let mut urls = Vec::new();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--deflate" => deflate = true,
            "--trust" => {
                let file = arguments.next().ok_or("--trust takes a file")?;
                tls = Some(ClientTls::with_ca(Path::new(&file))?);
            }
            _ => urls.push(argument),
        }
    }
    let config = socket_config(deflate);
    let settings = Settings { config, tls };
    let first = urls.first().ok_or("expected a URL")?;
    let count = case_count(first, &settings).await?;
    let next = Arc::new(AtomicUsize::new(1));
    let mut lanes = JoinSet::new();
    for url in urls {
        lanes.spawn(lane(url, settings.clone(), count, Arc::clone(&next)));
    }
    while let Some(ended) = lanes.join_next().await {
        ended??;
    }
    Ok(())
}

/// Runs cases at one server until there are no more.
async fn lane(
    url: String,
    settings: Settings,
    count: usize,
    next: Arc<AtomicUsize>,
) -> Result<(), ConnectError> {
    loop {
        let case = next.fetch_add(1, Ordering::Relaxed);
        if case > count {
            break;
        }
        let path = format!("runCase?case={case}&agent=tidewire");
        // That a case is refused or broken off is for the suite to judge.
        if let Ok(socket) = settings.connect(&url, &path).await {
            echo(socket).await;
        }
    }
    let path = "updateReports?agent=tidewire";
    echo(settings.connect(&url, path).await?).await;
    Ok(())
}

/// What goes wrong here is what the suite does wrong; it sees itself how it is answered.
async fn echo(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

async fn case_count(url: &str, settings: &Settings) -> Result<usize, Box<dyn Error>> {
    let mut socket = settings.connect(url, "getCaseCount").await?;
    let Some(Message::Text(count)) = socket.recv().await? else {
        return Err("expected the number of cases".into());
    };
    // The server closes next.
    while let Ok::<_, RecvError>(Some(_)) = socket.recv().await {}
    Ok(count.as_str().parse()?)
}

/// Group 9 sends messages of 16 MiB, and of 65 537 fragments. Compression is as hard as it gets:
/// every message, with all the context the cases let us keep.
fn socket_config(deflate: bool) -> Config {
    let mut config = Config::default();
    config.message_bytes_max = 32 << 20;
    config.frame_bytes_max = 32 << 20;
    config.fragments_max = 100_000;
    // A ping of ours would set a stalled connection going again, and hide the fault.
    config.ping_interval = None;
    if deflate {
        let mut deflate = DeflateConfig::default();
        deflate.context_takeover = true;
        deflate.peer_context_takeover = true;
        deflate.threshold = 0;
        config.deflate = Some(deflate);
    }
    config
}

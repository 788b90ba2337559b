//! A drain with as many connections as the system allows.

use std::{sync::Arc, time::Duration};

use tidewire::{
    proto::CloseCode,
    service::Workers,
    ws::{Server, ServerConfig, WebSocket, connect},
};
use tokio::{sync::Semaphore, task::JoinSet};

const WANTED: u64 = 10_000;

/// Descriptors for the other tests of this program.
const SPARED: u64 = 4000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_tells_ten_thousand_peers_1001_within_its_budget() {
    let allowed = rlimit::increase_nofile_limit(2 * WANTED + SPARED).unwrap_or(1024);
    let count = WANTED.min(allowed.saturating_sub(SPARED.min(allowed / 2)) / 2);
    let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into());
    config.workers = Workers::Pool;
    let serve =
        |mut socket: WebSocket| async move { while let Ok(Some(_)) = socket.recv().await {} };
    let server = Server::new(config).route("/", serve).start().unwrap();
    let url: Arc<str> = format!("ws://{}/", server.local_addr()).into();
    // Fewer at a time than the system queues before they are accepted.
    let dialing = Arc::new(Semaphore::new(64));
    let (connected, mut told) = tokio::sync::mpsc::channel(64);
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let (url, dialing, connected) = (Arc::clone(&url), Arc::clone(&dialing), connected.clone());
        clients.spawn(async move {
            let place = dialing.acquire().await.unwrap();
            let mut socket = connect(&url).await.unwrap();
            drop(place);
            connected.send(()).await.unwrap();
            drop(connected);
            assert_eq!(socket.recv().await.unwrap(), None);
            socket.close_frame().map(|frame| frame.code)
        });
    }
    drop(connected);
    let mut open = 0;
    while told.recv().await.is_some() {
        open += 1;
    }
    assert_eq!(open, count);
    assert!(
        server.drain(Duration::from_mins(1)).await,
        "nobody had to be aborted"
    );
    let mut closed = 0;
    while let Some(code) = clients.join_next().await {
        assert_eq!(code.unwrap(), Some(CloseCode::GOING_AWAY));
        closed += 1;
    }
    assert_eq!(closed, count);
}

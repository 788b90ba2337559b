//! A server at its end, and what it tells of its sessions.

use std::{num::NonZeroUsize, time::Duration};

use tidewire::{
    runtime::Workers,
    ws::{Server, WebSocket, connect},
};
use tokio::time::timeout;

use crate::server::config;

/// Long enough for anything that happens at all.
const HANG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn what_remains_at_the_drain_deadline_is_aborted_in_both_scaling_designs() {
    for workers in [Workers::Pool, Workers::PerCore(NonZeroUsize::MIN)] {
        for wait in [true, false] {
            let mut config = config();
            config.workers = workers;
            let (held, mut ended) = tokio::sync::mpsc::channel::<()>(1);
            let server = Server::new(config)
                .route("/", move |socket: WebSocket| {
                    let held = held.clone();
                    async move {
                        std::future::pending::<()>().await;
                        drop((socket, held));
                    }
                })
                .start()
                .unwrap();
            let url = format!("ws://{}/", server.local_addr());
            let mut socket = connect(&url).await.unwrap();
            if wait {
                assert!(!server.drain(Duration::from_millis(10)).await);
            } else {
                drop(server);
            }
            let ended = timeout(HANG, ended.recv()).await;
            assert_eq!(ended.expect("the endpoint is dropped"), None);
            let received = timeout(HANG, socket.recv()).await;
            received.expect("the connection ends").ok();
        }
    }
}

//! A server at its end, and what it tells of its sessions.

use std::{num::NonZeroUsize, time::Duration};

use tidewire::{
    service::Workers,
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
            config.workers = workers.clone();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sessions_have_moved_never_becomes_less_while_they_come_and_go() {
    let mut config = config();
    config.workers = Workers::PerCore(NonZeroUsize::MIN);
    let server = Server::new(config)
        .route("/", crate::server::echo)
        .start()
        .unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let coming = tokio::spawn(async move {
        for _ in 0..300 {
            let mut socket = connect(&url).await.unwrap();
            socket.send("counted").await.unwrap();
            socket.recv().await.unwrap();
            drop(socket);
        }
    });
    let mut before = 0;
    while !coming.is_finished() {
        for _ in 0..100 {
            let now = server.traffic().total.bytes_received;
            assert!(now >= before, "{now} after {before}");
            before = now;
        }
        tokio::task::yield_now().await;
    }
    coming.await.unwrap();
}

//! Reloads while clients are busy.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;

use crate::{
    peer::{Peer, message},
    run_within,
    server::Home,
};

const BUSY: u64 = 50;
const RELOADS: usize = 100;

#[test]
fn a_hundred_reloads_under_load_drop_and_refuse_nobody() {
    run_within(Duration::from_mins(3), async {
        let config = |bytes: usize| format!("[server.limits]\nmessage_bytes_max = {bytes}\n");
        let home = Home::new(&config(100_000));
        let server = home.start().await;
        let stop = Arc::<AtomicBool>::default();
        let mut busy = JoinSet::new();
        for user in 100..100 + BUSY {
            let mut peer = Peer::connect(&server, user).await.expect("open");
            let stop = Arc::clone(&stop);
            busy.spawn(async move {
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    let text = count.to_string();
                    let sent = peer.socket.send(message(user, &[user], &text)).await;
                    sent.expect("no socket is dropped");
                    let copy = peer.next().await.expect("open");
                    assert_eq!(copy.expect("no socket is closed").text, text);
                    count += 1;
                }
                count
            });
        }
        let (url, stopped) = (server.url("messaging").to_owned(), Arc::clone(&stop));
        busy.spawn(async move {
            let mut count = 0;
            while !stopped.load(Ordering::Relaxed) {
                drop(Peer::connect_to(&url, 7).await.expect("nobody is refused"));
                count += 1;
            }
            count
        });
        for count in 1..=RELOADS {
            home.write_config(&config(100_000 + count));
            server.signal("HUP");
            server
                .until_logged("the configuration was read again", count)
                .await;
        }
        stop.store(true, Ordering::Relaxed);
        for count in busy.join_all().await {
            assert!(count > 0, "nothing was done meanwhile");
        }
        server.stop().await;
    });
}

//! Limits around all connections of clients.

use std::net::SocketAddr;

use tidewire::ws::{ConnectError, WebSocket, connect};
use tidewire_gateway::{
    settings::{Listener, Settings},
    start,
};

use crate::support::{echoing, endpoint, in_time, settings, url};

async fn open(address: SocketAddr) -> Result<WebSocket, ConnectError> {
    connect(&format!("ws://{address}/?ROUTENAME=one")).await
}

async fn refused(address: SocketAddr) {
    let error = open(address).await.unwrap_err();
    assert_eq!(error.status(), Some(503), "{error:?}");
    // Each client is told another time.
    let told = error.retry_after().unwrap();
    assert!((1..=10).contains(&told.as_secs()), "{told:?}");
}

/// A listener whose address differs from its siblings' even with a port that is picked.
fn listener(last: u8) -> Listener {
    Listener::new(([127, 0, 0, last], 0).into())
}

/// Three places are taken at two listeners; `limit` sets how many there are.
async fn check(limit: impl Fn(&mut Settings, usize)) {
    let backend = echoing();
    let mut before = settings(vec![endpoint("one", &[url(&backend, "/")])]);
    before.listeners = vec![listener(1), listener(2)];
    limit(&mut before, 3);
    let gateway = start(before.clone()).unwrap();
    in_time(async {
        let [one, two] = gateway.addresses()[..] else {
            panic!("two listeners");
        };
        let mut first = open(one).await.unwrap();
        let _second = open(one).await.unwrap();
        let third = open(two).await.unwrap();
        refused(one).await;
        refused(two).await;
        // A listener stays, one goes with its connection, one comes.
        let mut after = before.clone();
        after.listeners = vec![listener(1), listener(3)];
        limit(&mut after, 4);
        gateway.reload(after.clone()).unwrap();
        let new = gateway.addresses()[1];
        let _fourth = open(new).await.unwrap();
        refused(one).await;
        refused(new).await;
        limit(&mut after, 3);
        gateway.reload(after).unwrap();
        drop(third);
        first.send("still there").await.unwrap();
        assert!(first.recv().await.unwrap().is_some());
        refused(new).await;
        drop(first);
        while open(new).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_over_all_listeners_and_reloads() {
    check(|settings, count| settings.limits.connections_max = count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_an_address_are_counted_over_all_listeners_and_reloads() {
    check(|settings, count| settings.limits.per_ip_max = count).await;
}

//! What a connection may cost.

use std::time::Duration;

use tidewire::ws::{ConnectError, SendError};

use super::{client, connect, echoes, start, start_with, until, within};

#[tokio::test]
async fn a_socket_waits_for_a_free_stream() {
    let server = start_with(|config| config.limits.streams_per_connection_max = 2);
    let connection = connect(&server).await;
    let first = connection.open(&client(&server, "/echo")).await.unwrap();
    let _second = connection.open(&client(&server, "/echo")).await.unwrap();
    let hasty = client(&server, "/echo").connect_timeout(Duration::from_millis(50));
    let error = connection.open(&hasty).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut), "{error:?}");
    let patient = {
        let (connection, client) = (connection.clone(), client(&server, "/echo"));
        tokio::spawn(async move { connection.open(&client).await })
    };
    drop(first);
    let mut third = within(patient).await.unwrap().unwrap();
    echoes(&mut third, "third").await;
    assert_eq!(server.stats().opened, 3);
}

#[tokio::test]
async fn every_session_counts_for_the_limits_of_the_server() {
    let server = start_with(|config| {
        config.limits.connections_max = 3;
        config.limits.per_ip_max = 3;
    });
    let connection = connect(&server).await;
    let mut sockets = Vec::new();
    assert_eq!(server.stats().connections, 1, "no session yet");
    for count in 1..=3 {
        sockets.push(connection.open(&client(&server, "/echo")).await.unwrap());
        assert_eq!(server.stats().connections, count);
    }
    let error = connection
        .open(&client(&server, "/echo"))
        .await
        .unwrap_err();
    assert_eq!(error.status(), Some(503), "{error:?}");
    let error = client(&server, "/echo").connect().await.unwrap_err();
    assert_eq!(error.status(), Some(503), "{error:?}");
    sockets.pop();
    until(|| server.stats().connections == 2).await;
    connection.open(&client(&server, "/echo")).await.unwrap();
    sockets.clear();
    until(|| server.stats().connections == 1).await;
    drop(connection);
    until(|| server.stats().connections == 0).await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_stops_its_sender_and_nobody_else() {
    let server = start();
    let connection = connect(&server).await;
    // The deadline is how the sender tells that nothing moves any more.
    let deaf = client(&server, "/deaf").write_timeout(Duration::from_millis(200));
    let mut deaf = connection.open(&deaf).await.unwrap();
    let queue_max = tidewire::ws::Config::default().send_queue_bytes_max;
    let mut taken = 0;
    let error = loop {
        match within(deaf.send(vec![0; 16 << 10])).await {
            Ok(()) => taken += 16 << 10,
            Err(error) => break error,
        }
        assert!(
            taken <= (64 << 10) + (64 << 10) + queue_max + (16 << 10),
            "more than windows and queues hold: {taken}"
        );
    };
    assert!(matches!(error, SendError::TimedOut), "{error:?}");
    assert!(taken >= 64 << 10, "less than the window: {taken}");
    let mut neighbour = connection.open(&client(&server, "/echo")).await.unwrap();
    for _ in 0..50 {
        echoes(&mut neighbour, vec![1; 60_000]).await;
    }
}

#[tokio::test]
async fn a_connection_without_sessions_ends_at_the_handshake_deadline() {
    let server = start_with(|config| {
        config.limits.handshake_timeout = Duration::from_millis(200);
    });
    let connection = connect(&server).await;
    until(|| server.stats().connections == 0).await;
    let error = connection
        .open(&client(&server, "/echo"))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Lost(_)), "{error:?}");
}

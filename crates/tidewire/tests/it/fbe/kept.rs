//! Clients that keep a connection: what is reset, what goes on, and how it ends.

use std::{sync::Arc, time::Duration};

use tidewire::{
    fbe::{
        Backoff, Client, DownReason, Message, MessageRef, RequestError, SendError, Server,
        SessionError,
    },
    tcp,
};
use tokio::sync::mpsc;

use super::{Hashes, config, start, within};

fn at_once() -> Backoff {
    Backoff::new(Duration::ZERO, Duration::ZERO)
}

fn notification(message: Option<Message>) -> String {
    match message {
        Some(Message::Notify { notification }) => notification,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_lost_connection_resets_what_waits_and_requests_go_on_with_the_next() {
    let server = start();
    let (down, mut downs) = mpsc::channel(16);
    let client = Client::to(server.local_addr())
        .reconnect(at_once())
        .on_down(move |reason, retry_in| {
            assert!(matches!(reason, DownReason::Closed), "{reason:?}");
            down.try_send(retry_in).unwrap();
        })
        .start();
    let client = Arc::new(client);
    for round in 0..3 {
        assert_eq!(
            notification(within(client.recv()).await),
            "hello",
            "{round}"
        );
        assert_eq!(within(client.request("test")).await.unwrap().length, 4);
        let waiting = tokio::spawn({
            let client = Arc::clone(&client);
            async move { client.request_timeout("silence", None).await }
        });
        let asked = || server.sessions()[0].tcp().bytes_received() >= 43 + 46;
        while !asked() {
            tokio::task::yield_now().await;
        }
        server.disconnect_all();
        assert_eq!(within(waiting).await.unwrap(), Err(RequestError::Reset));
        assert_eq!(within(downs.recv()).await, Some(Some(Duration::ZERO)));
    }
    assert_eq!(within(client.request("test")).await.unwrap().length, 4);
    client.reconnect();
    within(downs.recv()).await;
    within(client.connected()).await.expect("anew");
    while server.tcp().stats().opened < 5 {
        tokio::task::yield_now().await;
    }
    let client = Arc::into_inner(client).unwrap();
    within(client.close(Duration::from_mins(1))).await;
}

#[tokio::test]
async fn a_request_waits_for_a_connection_only_as_long_as_it_may() {
    // A port at which nobody listens yet.
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let client = Client::to(address).reconnect(at_once()).start();
    let limit = Duration::from_millis(1);
    let late = within(client.request_timeout("test", limit)).await;
    assert_eq!(late, Err(RequestError::TimedOut));
    let closed = SendError::Tcp(tcp::SendError::Closed);
    assert_eq!(client.notify("text").await, Err(closed.clone()));
    let message = MessageRef::Notify { notification: "" };
    assert_eq!(client.try_send(message), Err(closed));
    let asking = client.request("test");
    let listening = async {
        let service = tcp::ServerConfig::new(address.into());
        let config = tidewire::fbe::ServerConfig::with(service);
        Server::new(config, |_session| Hashes).start().unwrap()
    };
    let (answer, _server) = within(async { tokio::join!(asking, listening) }).await;
    assert_eq!(answer.unwrap().length, 4);
}

#[tokio::test]
async fn a_client_that_gives_up_says_so_to_whoever_waits() {
    let config = tcp::ServerConfig::new("127.0.0.1:0".parse().unwrap());
    let http = |mut connection: tcp::Connection| async move {
        let answer = "HTTP/1.1 400 Bad Request\r\n\r\n";
        connection.send(answer).await.ok();
    };
    let server = tcp::Server::new(config, http).start().unwrap();
    let (down, mut downs) = mpsc::channel(16);
    let client = Client::to(server.local_addr())
        .reconnect(at_once().failures_max(2))
        .on_down(move |reason, retry_in| {
            let DownReason::Lost(SessionError::Protocol(_)) = reason else {
                panic!("{reason:?}");
            };
            down.try_send(retry_in.is_some()).unwrap();
        })
        .start();
    assert_eq!(within(client.recv()).await, None);
    let told = [downs.recv().await, downs.recv().await, downs.recv().await];
    assert_eq!(told, [Some(true), Some(false), None]);
    assert!(within(client.connected()).await.is_none());
    let error = within(client.request("test")).await.unwrap_err();
    assert!(
        matches!(error, RequestError::Send(_) | RequestError::Reset),
        "{error:?}"
    );
    assert!(client.has_ended());
}

#[tokio::test]
async fn what_came_before_the_end_of_a_connection_is_received_behind_it() {
    let server = Server::new(config(), |_session| Hashes).start().unwrap();
    let client = Client::to(server.local_addr()).reconnect(at_once()).start();
    within(client.request("test")).await.unwrap();
    for number in 0..3 {
        let notification = &format!("number {number}");
        server
            .broadcast(MessageRef::Notify { notification })
            .unwrap();
    }
    within(client.request("test")).await.unwrap();
    server.disconnect_all();
    while server.tcp().stats().opened < 2 {
        tokio::task::yield_now().await;
    }
    for expected in ["hello", "number 0", "number 1", "number 2", "hello"] {
        assert_eq!(notification(within(client.recv()).await), expected);
    }
    assert_eq!(client.missed(), 0);
}

#[cfg(feature = "blocking")]
#[test]
fn threads_share_a_connection_and_every_call_has_its_limit() {
    use tidewire::blocking::fbe::{ReceiveError, connect};
    use tidewire::service::Workers;

    let mut config = config();
    config.tcp.service.workers = Workers::PerCore(std::num::NonZeroUsize::MIN);
    let server = Server::new(config, |_session| Hashes).start().unwrap();
    let client = Client::to(server.local_addr());
    let connection = connect(&client).unwrap();
    let limit = Duration::from_millis(1);
    assert_eq!(notification(connection.recv().unwrap()), "hello");
    let nothing = connection.recv_timeout(limit).unwrap_err();
    assert!(matches!(nothing, ReceiveError::Nothing), "{nothing:?}");
    std::thread::scope(|scope| {
        for len in 1..8_u32 {
            let connection = &connection;
            scope.spawn(move || {
                let text = "x".repeat(len as usize);
                assert_eq!(connection.request(&text).unwrap().length, len);
            });
        }
    });
    let late = connection.request_timeout("silence", limit);
    assert_eq!(late, Err(RequestError::TimedOut));
    connection.notify("text").unwrap();
    let message = MessageRef::Notify {
        notification: "text",
    };
    connection
        .send_timeout(message, Duration::from_mins(1))
        .unwrap();
    let hangs_up = connect(&client).unwrap();
    assert_eq!(hangs_up.request("disconnect me"), Err(RequestError::Reset));
    assert_eq!(notification(hangs_up.recv().unwrap()), "hello");
    assert_eq!(hangs_up.recv().unwrap(), None);
    connection.disconnect().unwrap();
    while server.tcp().stats().sessions > 0 {
        std::thread::yield_now();
    }
}

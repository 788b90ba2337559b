//! Requests and every way they end, notifications, the end of connections.

use std::time::Duration;

use futures_util::FutureExt as _;
use tidewire::fbe::{Client, Message, MessageRef, RequestError, SendError, SessionError};
use tidewire::tcp;

use super::{connect, start, within};

#[tokio::test]
async fn many_requests_at_once_get_each_its_own_answer() {
    let server = start();
    let client = connect(&server).await;
    let texts: Vec<String> = (1..=100).map(|len| "x".repeat(len)).collect();
    let requests = texts.iter().map(|text| client.request(text));
    let responses = within(futures_util::future::join_all(requests)).await;
    for (text, response) in texts.iter().zip(responses) {
        let length = response.unwrap().length;
        assert_eq!(usize::try_from(length).unwrap(), text.len());
    }
}

#[tokio::test]
async fn a_rejection_fails_its_request_alone() {
    let server = start();
    let client = connect(&server).await;
    let rejected = within(client.request("")).await.unwrap_err();
    let why = "Request message is empty!".to_owned();
    assert_eq!(rejected, RequestError::Rejected(why));
    assert!(within(client.request("text")).await.is_ok());
}

#[tokio::test]
async fn a_request_without_an_answer_times_out_by_itself_and_leaves_its_place() {
    let server = start();
    let client = Client::to(server.local_addr()).requests_max(1);
    let client = client.connect().await.unwrap();
    let limit = Duration::from_millis(1);
    for _ in 0..3 {
        let error = within(client.request_timeout("silence", limit)).await;
        let error = error.unwrap_err();
        assert_eq!(error.to_string(), "Timeout!");
    }
    // One that is given up leaves its place, too.
    let mut given_up = Box::pin(client.request("silence"));
    assert!((&mut given_up).now_or_never().is_none());
    let refused = client.request("text").await.unwrap_err();
    assert_eq!(refused, RequestError::TooMany);
    drop(given_up);
    assert!(within(client.request("text")).await.is_ok());
}

#[tokio::test]
async fn the_end_of_the_connection_resets_what_waits() {
    let server = start();
    let client = connect(&server).await;
    let mut waiting = Box::pin(client.request_timeout("silence", None));
    assert!((&mut waiting).now_or_never().is_none());
    assert!(
        within(client.request("text")).await.is_ok(),
        "the first has arrived"
    );
    server.disconnect_all();
    let error = within(waiting).await.unwrap_err();
    assert_eq!(error.to_string(), "Reset client!");
    within(client.closed()).await.expect("a proper end");
    let late = within(client.request("text")).await.unwrap_err();
    assert_eq!(late, RequestError::Reset);
    let closed = SendError::Tcp(tcp::SendError::Closed);
    assert_eq!(client.notify("text").await.unwrap_err(), closed);
}

#[tokio::test]
async fn the_servers_wish_to_disconnect_is_obeyed() {
    let server = start();
    let client = connect(&server).await;
    let error = within(client.request("disconnect me")).await.unwrap_err();
    assert_eq!(error, RequestError::Reset);
    assert!(within(client.closed()).await.is_ok());
}

#[tokio::test]
async fn a_disconnect_is_sent_before_the_connection_ends() {
    let server = start();
    let client = connect(&server).await;
    within(client.disconnect()).await.unwrap();
    let all_gone = async {
        while server.tcp().stats().sessions > 0 {
            tokio::task::yield_now().await;
        }
    };
    within(all_gone).await;
}

#[tokio::test]
async fn what_comes_unasked_is_kept_in_order_and_of_too_much_the_newest() {
    let server = start();
    let client = Client::to(server.local_addr()).unread_bytes_max(200);
    let client = client.connect().await.unwrap();
    // Its session is there.
    within(client.request("text")).await.unwrap();
    let text = |index: usize| format!("notification {index:03}");
    for index in 0..50 {
        let notification = &text(index);
        server.sessions()[0]
            .send(MessageRef::Notify { notification })
            .await
            .unwrap();
    }
    // Its answer comes behind all of them.
    within(client.request("text")).await.unwrap();
    let mut received = Vec::new();
    while let Some(Message::Notify { notification }) = client.recv().now_or_never().flatten() {
        received.push(notification);
    }
    let kept = 200 / 40; // bytes of each
    let expected: Vec<String> = (50 - kept..50).map(text).collect();
    assert_eq!(received, expected);
    let missed = u64::try_from(51 - kept).unwrap(); // the greeting too
    assert_eq!(client.missed(), missed);
}

#[tokio::test]
async fn a_server_that_speaks_another_protocol_is_told_in_words() {
    let config = tcp::ServerConfig::new("127.0.0.1:0".parse().unwrap());
    let http = |mut connection: tcp::Connection| async move {
        connection
            .send("HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .ok();
    };
    let server = tcp::Server::new(config, http).start().unwrap();
    let client = Client::to(server.local_addr()).connect().await.unwrap();
    let error = within(client.closed()).await.unwrap_err();
    assert!(matches!(error, SessionError::Protocol(_)), "{error:?}");
    assert_eq!(within(client.recv()).await, None);
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn with_tls_it_is_the_same() {
    use tidewire::fbe::{Server, ServerConfig};

    let authority = crate::tls::Authority::new();
    let config = tcp::ServerConfig::new("127.0.0.1:0".parse().unwrap()).tls(authority.server());
    let server = Server::new(ServerConfig::with(config), |session| {
        assert!(session.peer().secure, "TLS is done before");
        super::Hashes
    });
    let server = server.start().unwrap();
    let tcp = tcp::Client::new(format!("localhost:{}", server.local_addr().port()));
    let client = Client::with(tcp.tls(authority.client()))
        .connect()
        .await
        .unwrap();
    assert_eq!(within(client.request("test")).await.unwrap().length, 4);
    within(client.disconnect()).await.unwrap();
}

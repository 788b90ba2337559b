//! Our client against servers that are not ours.

use bytes::Bytes;
use tidewire::ws::{Client, ConnectError, RecvError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{client, start_with, within};

async fn listen() -> (TcpListener, Client) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    (listener, Client::new(&url).unwrap().http2())
}

#[tokio::test]
async fn a_server_without_extended_connect_is_named() {
    let (listener, client) = listen().await;
    let server = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(tcp).await.unwrap();
        assert!(connection.accept().await.is_none(), "nothing is asked");
    });
    let error = within(client.connect()).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::NoExtendedConnect { .. }),
        "{error:?}"
    );
    within(server).await.unwrap();
}

#[tokio::test]
async fn a_server_that_speaks_http_1_is_named() {
    let server = start_with(|config| config.http2 = false);
    let error = within(client(&server, "/echo").http2().connect()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, ConnectError::NoHttp2 { .. }), "{error:?}");

    let (listener, client) = listen().await;
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.read_u8().await.unwrap();
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .ok();
        tcp.read_to_end(&mut Vec::new()).await.ok();
    });
    let error = within(client.connect()).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoHttp2 { .. }), "{error:?}");
}

#[tokio::test]
async fn a_lost_connection_ends_all_its_sockets() {
    let (listener, client) = listen().await;
    let (cut, mut cutting) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut builder = h2::server::Builder::new();
        builder.enable_connect_protocol();
        let mut connection = builder.handshake::<_, Bytes>(tcp).await.unwrap();
        let mut streams = Vec::new();
        loop {
            tokio::select! {
                accepted = connection.accept() => {
                    let (request, mut respond) = accepted.unwrap().unwrap();
                    let answer = respond.send_response(http::Response::new(()), false).unwrap();
                    streams.push((request, answer));
                }
                _ = &mut cutting => return,
            }
        }
    });
    let connection = within(client.connect_http2()).await.unwrap();
    let mut first = within(connection.open(&client)).await.unwrap();
    let mut second = within(connection.open(&client)).await.unwrap();
    drop(cut);
    for socket in [&mut first, &mut second] {
        let error = within(socket.recv()).await.unwrap_err();
        assert!(
            matches!(error, RecvError::Io(_) | RecvError::Lost),
            "{error:?}"
        );
    }
    let error = within(connection.open(&client)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Lost(_)), "{error:?}");
}

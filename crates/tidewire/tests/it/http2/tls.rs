//! HTTP/2 is agreed on by ALPN.

use tidewire::ws::{Client, ConnectError, RunningServer};

use super::{echoes, start_with};
use crate::tls::Authority;

fn wss(server: &RunningServer, authority: &Authority) -> Client {
    let url = format!("wss://localhost:{}/echo", server.local_addr().port());
    Client::new(&url).unwrap().tls(authority.client())
}

#[tokio::test]
async fn each_client_gets_the_version_it_offers() {
    let authority = Authority::new();
    let server = start_with(|config| config.tls = Some(authority.server_called("localhost")));
    for (client, alpn) in [
        (wss(&server, &authority), &b"http/1.1"[..]),
        (wss(&server, &authority).http2(), b"h2"),
    ] {
        let mut socket = client.connect().await.unwrap();
        let agreed = socket.peer().tls.as_ref().unwrap().alpn.clone();
        assert_eq!(agreed.as_deref(), Some(alpn));
        echoes(&mut socket, vec![9; 200_000]).await;
    }
}

#[tokio::test]
async fn a_server_without_http2_does_not_agree() {
    let authority = Authority::new();
    let server = start_with(|config| {
        config.tls = Some(authority.server_called("localhost"));
        config.http2 = false;
    });
    let error = wss(&server, &authority).http2().connect().await;
    let error = error.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
}

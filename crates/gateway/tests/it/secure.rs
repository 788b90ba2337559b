//! TLS and HTTP/2 on either side of the gateway.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tidewire::{
    tls::{ClientTls, Identity, ServerTls},
    ws::{Client, Message, Server, ServerConfig},
};
use tidewire_gateway::start;

use crate::support::{Telling, endpoint, in_time, settings, telling, url};

/// A server for localhost, and clients that trust it.
fn tls() -> (ServerTls, ClientTls) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let identity = Identity::from_pem(certificate.pem(), key.serialize_pem());
    let server = ServerTls::builder(identity).build().unwrap();
    let client = ClientTls::builder().ca_pem(issuer.pem()).build().unwrap();
    (server, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wss_client_reaches_a_wss_upstream_and_the_upstream_is_told_that_it_is_secure() {
    let (server_tls, client_tls) = tls();
    let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
    config.tls = Some(server_tls.clone());
    let backend = Server::new(config).route_any(Telling).start().unwrap();
    let upstream = format!("wss://localhost:{}/", backend.local_addr().port());
    let mut endpoint = endpoint("one", &[upstream]);
    endpoint.tls = Some(client_tls.clone());
    let mut settings = settings(vec![endpoint]);
    settings.listeners[0].tls = Some(server_tls);
    let gateway = start(settings).unwrap();
    let port = gateway.addresses()[0].port();
    in_time(async {
        let url = format!("wss://localhost:{port}/?ROUTENAME=one");
        let client = Client::new(&url).unwrap().tls(client_tls);
        let mut socket = client.connect().await.unwrap();
        let head = socket.recv().await.unwrap().unwrap();
        let head = head.as_text().unwrap();
        assert!(head.contains("X-Forwarded-Proto: https\r\n"), "{head}");
        let big = Message::binary(vec![5; 1_000_000]);
        socket.send(big.clone()).await.unwrap();
        assert_eq!(socket.recv().await.unwrap(), Some(big));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_share_one_http2_connection_are_connected_through_and_multiplexed() {
    let backend = telling();
    let mut settings = settings(vec![endpoint("one", &[url(&backend, "/")])]);
    settings.listeners[0].http2 = true;
    let gateway = start(settings).unwrap();
    let address = gateway.addresses()[0];
    in_time(async {
        let client = Client::new(&format!("ws://{address}/?ROUTENAME=one")).unwrap();
        let shared = client.connect_http2().await.unwrap();
        for _ in 0..3 {
            let mut socket = shared.open(&client).await.unwrap();
            let head = socket.recv().await.unwrap().unwrap();
            let line = head.as_text().unwrap().lines().next();
            assert_eq!(line, Some("GET / HTTP/1.1"));
            socket.send("over HTTP/2").await.unwrap();
            let echo = socket.recv().await.unwrap().unwrap();
            assert_eq!(echo.as_text(), Some("over HTTP/2"));
        }
        let unknown = Client::new(&format!("ws://{address}/?ROUTENAME=two")).unwrap();
        assert!(shared.open(&unknown).await.is_err());
        let mux = Client::new(&format!("ws://{address}/"))
            .unwrap()
            .http2()
            .subprotocol(tidewire::proto::mux::SUBPROTOCOL);
        let mux = tidewire::gateway::connect_with(mux).await.unwrap();
        let mut socket = mux.endpoint("one").await.unwrap();
        assert!(socket.recv().await.unwrap().is_some());
    })
    .await;
}

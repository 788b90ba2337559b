//! TLS and HTTP/2 on either side of the gateway.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tidewire::{
    tls::{ClientTls, Identity, ServerTls},
    ws::{Client, Message, Server, ServerConfig, WebSocket, connect},
};
use tidewire_gateway::start;

use crate::support::{Telling, endpoint, in_time, settings, telling, url};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server whose certificate is for `name`.
fn server(authority: &Authority, name: &str) -> ServerTls {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let identity = Identity::from_pem(certificate.pem(), key.serialize_pem());
    ServerTls::builder(identity).build().unwrap()
}

/// A server for localhost, and clients that trust it.
fn tls() -> (ServerTls, ClientTls) {
    let authority = authority();
    let client = ClientTls::builder().ca_pem(authority.pem());
    (server(&authority, "localhost"), client.build().unwrap())
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
async fn a_wss_upstream_reached_by_its_address_is_asked_for_by_the_name_in_its_certificate() {
    let authority = authority();
    let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
    config.tls = Some(server(&authority, "backend.example"));
    let serve = |mut socket: WebSocket| async move {
        let tls = socket.peer().tls.as_ref().unwrap();
        let name = tls.server_name.clone().unwrap_or_default();
        socket.send(name).await.ok();
        socket.recv().await.ok();
    };
    let backend = Server::new(config).route_any(serve).start().unwrap();
    let of = |endpoint_name: &str, server_name: Option<&str>| {
        let mut endpoint = endpoint(endpoint_name, &[format!("wss://{}/", backend.local_addr())]);
        let mut builder = ClientTls::builder().ca_pem(authority.pem());
        if let Some(name) = server_name {
            builder = builder.server_name(name);
        }
        endpoint.tls = Some(builder.build().unwrap());
        endpoint
    };
    let endpoints = vec![
        of("right", Some("backend.example")),
        of("unnamed", None),
        of("wrong", Some("other.example")),
    ];
    let gateway = start(settings(endpoints)).unwrap();
    in_time(async {
        let url = |name| format!("ws://{}/?ROUTENAME={name}", gateway.addresses()[0]);
        let mut socket = connect(&url("right")).await.unwrap();
        let name = socket.recv().await.unwrap().unwrap();
        assert_eq!(name.as_text(), Some("backend.example"));
        for refused in ["unnamed", "wrong"] {
            let Err(error) = connect(&url(refused)).await else {
                panic!("{refused} was connected through");
            };
            assert_eq!(error.status(), Some(502), "{refused}");
        }
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
        let mux = tidewire::mux::connect_with(mux).await.unwrap();
        let mut socket = mux.endpoint("one").await.unwrap();
        assert!(socket.recv().await.unwrap().is_some());
    })
    .await;
}

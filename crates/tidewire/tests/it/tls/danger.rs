//! Encrypted, unauthenticated: nobody verifies whom he talks to.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tidewire::{
    proto::CloseCode,
    tls::ClientTls,
    ws::{Client, ConnectError},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Authority, Served, clients_usage, servers_usage};

#[tokio::test]
async fn one_client_over_unverified_tls_comes_and_goes_whatever_certificates_there_are() {
    let (authority, unknown) = (Authority::new(), Authority::new());
    let mut served = Served::start(authority.server());
    let showing_one = ClientTls::builder()
        .danger_unverified()
        .identity(unknown.identity("client", &clients_usage()))
        .build()
        .unwrap();
    for tls in [ClientTls::danger_unverified().unwrap(), showing_one] {
        // A host that the certificate is not for.
        let mut socket = served.connect("127.0.0.1", &tls).await.unwrap();
        assert!(socket.peer().secure);
        assert!(socket.peer().certificates().is_empty(), "none was verified");
        assert!(served.peer().await.certificates().is_empty());
        assert_eq!(served.server.stats().connections, 1);
        socket.close(CloseCode::NORMAL, "").await.unwrap();
        served.empty().await;
    }
}

#[cfg(feature = "self-signed")]
#[tokio::test]
async fn a_bare_key_makes_a_server_that_only_unverifying_clients_use() {
    use rcgen::KeyPair;
    use tidewire::tls::{Identity, ServerTls};

    let authority = Authority::new();
    let key = authority.path("bare.key");
    super::authority::write_key(&key, &KeyPair::generate().unwrap().serialize_pem());
    let identity = Identity::danger_self_signed(&key);
    let served = Served::start(ServerTls::builder(identity).build().unwrap());
    let unverified = ClientTls::danger_unverified().unwrap();
    served.connect("localhost", &unverified).await.unwrap();
    served
        .refuses(&authority.client(), "nobody signed it")
        .await;

    let wrong = Identity::danger_self_signed(authority.ca()).danger_allow_exposed_key_file();
    let error = ServerTls::builder(wrong).build().unwrap_err();
    assert!(error.to_string().contains("private key"), "{error}");
}

#[tokio::test]
async fn even_an_unverified_server_must_hold_the_key_of_its_certificate() {
    let authority = Authority::new();
    let (certificate, _its_key) = authority.sign("server", &servers_usage());
    let (_, other_key) = authority.sign("other", &servers_usage());
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(other_key).unwrap();
    let key = ring::sign::any_supported_type(&key).unwrap();
    // Put together without the check that they match.
    let resolver = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)));
    let provider = Arc::new(ring::default_provider());
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(resolver.clone());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("wss://127.0.0.1:{}/", listener.local_addr().unwrap().port());
        let serve = async {
            let (tcp, _address) = listener.accept().await.unwrap();
            TlsAcceptor::from(Arc::new(config)).accept(tcp).await
        };
        let client = Client::new(&url).unwrap();
        let client = client.tls(ClientTls::danger_unverified().unwrap());
        let (served, connected) = tokio::join!(serve, client.connect());
        assert!(served.is_err());
        let Err(ConnectError::Tls { source, .. }) = connected else {
            panic!("{connected:?}");
        };
        assert!(source.to_string().contains("signature"), "{source}");
    }
}

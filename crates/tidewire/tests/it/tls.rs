//! wss and mutual TLS with certificates made for the test.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use tempfile::TempDir;
use tidewire::{
    tls::{ClientTls, ServerTls, TlsError},
    ws::{Client, ConnectError, Message, RunningServer, Server, WebSocket},
};

use crate::server::config;

/// A CA and what it signed, as PEM files.
pub(crate) struct Authority {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn sign(
        &self,
        name: &str,
        host: &str,
        usage: ExtendedKeyUsagePurpose,
    ) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (certificate_path, key_path) = (
            self.path(&format!("{name}.pem")),
            self.path(&format!("{name}.key")),
        );
        std::fs::write(&certificate_path, certificate.pem()).unwrap();
        std::fs::write(&key_path, key.serialize_pem()).unwrap();
        (certificate_path, key_path)
    }
}

/// Tells how many certificates the client showed.
async fn count_certificates(mut socket: WebSocket) {
    let count = socket.peer().certificates.len();
    socket
        .send(format!("{} {count}", socket.peer().secure))
        .await
        .ok();
    socket.recv().await.ok();
}

fn start(tls: ServerTls) -> RunningServer {
    let mut config = config();
    config.tls = Some(tls);
    Server::new(config)
        .route("/", count_certificates)
        .start()
        .unwrap()
}

async fn ask(server: &RunningServer, host: &str, tls: ClientTls) -> Result<String, ConnectError> {
    let url = format!("wss://{host}:{}/", server.local_addr().port());
    let mut socket = Client::new(&url)?.tls(tls).connect().await?;
    match socket.recv().await {
        Ok(Some(Message::Text(text))) => Ok(text.to_string()),
        other => panic!("expected a text, got {other:?}"),
    }
}

#[tokio::test]
async fn wss_is_encrypted_and_the_server_verified() {
    let authority = Authority::new();
    let (certificate, key) =
        authority.sign("server", "localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let server = start(ServerTls::from_pem(&certificate, &key).unwrap());
    let trusting = || ClientTls::with_ca(&authority.path("ca.pem")).unwrap();
    assert_eq!(
        ask(&server, "localhost", trusting()).await.unwrap(),
        "true 0"
    );
    let wrong_host = ask(&server, "127.0.0.1", trusting()).await.unwrap_err();
    assert!(
        matches!(wrong_host, ConnectError::Tls { .. }),
        "{wrong_host:?}"
    );
    let other = Authority::new();
    let wrong_ca = ask(
        &server,
        "localhost",
        ClientTls::with_ca(&other.path("ca.pem")).unwrap(),
    )
    .await
    .unwrap_err();
    assert!(matches!(wrong_ca, ConnectError::Tls { .. }), "{wrong_ca:?}");
}

#[tokio::test]
async fn mutual_tls_lets_nobody_in_without_a_certificate_of_the_ca() {
    let (servers, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let (certificate, key) =
        servers.sign("server", "localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let tls = ServerTls::mutual_from_pem(&certificate, &key, &clients.path("ca.pem")).unwrap();
    let server = start(tls);
    let ca = servers.path("ca.pem");
    let with = |authority: &Authority, usage| {
        let (certificate, key) = authority.sign("client", "client", usage);
        ClientTls::with_ca_and_identity(&ca, &certificate, &key).unwrap()
    };
    let good = with(&clients, ExtendedKeyUsagePurpose::ClientAuth);
    assert_eq!(ask(&server, "localhost", good).await.unwrap(), "true 1");
    for (why, tls) in [
        ("no certificate", ClientTls::with_ca(&ca).unwrap()),
        (
            "a certificate of another CA",
            with(&strangers, ExtendedKeyUsagePurpose::ClientAuth),
        ),
        (
            "a certificate for servers",
            with(&clients, ExtendedKeyUsagePurpose::ServerAuth),
        ),
    ] {
        // TLS 1.3 clients learn of the refusal with their first read.
        let error = ask(&server, "localhost", tls).await.expect_err(why);
        assert!(
            matches!(error, ConnectError::Tls { .. } | ConnectError::Lost(_)),
            "{why}: {error:?}"
        );
    }
    assert_eq!(server.stats().opened, 1);
}

#[test]
fn files_that_are_no_certificates_are_named() {
    let authority = Authority::new();
    let (certificate, key) =
        authority.sign("server", "localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let error = ServerTls::from_pem(&authority.path("missing.pem"), &key).unwrap_err();
    assert!(
        matches!(&error, TlsError::Pem { path, .. } if path.ends_with("missing.pem")),
        "{error}"
    );
    let error = ServerTls::from_pem(&certificate, &certificate).unwrap_err();
    assert!(
        error.to_string().contains("expected a private key"),
        "{error}"
    );
    let (_, other_key) = authority.sign("other", "localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let error = ServerTls::from_pem(&certificate, &other_key).unwrap_err();
    assert!(error.to_string().contains("certificate and key"), "{error}");
}

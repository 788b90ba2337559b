//! Credentials, TLS and mutual TLS on both listeners.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use tempfile::TempDir;
use tidewire::{tls::ClientTls, ws::Client};

use crate::desk::{Desk, envelope, http, text};

const BASIC: &str = "type = \"basic\"\nuser = \"u\"\npassword = \"p\"\n"; // dTpw

/// 4050 without valid credentials; nothing sent before the close is delivered (S-61).
#[tokio::test]
async fn without_credentials_a_connection_is_closed_and_nothing_of_it_processed() {
    for (auth, good, bad) in [
        (
            BASIC,
            ("Authorization", "Basic dTpw"),
            ("Authorization", "Basic dTpx"),
        ),
        (
            "type = \"bearer\"\nvalue = \"t\"\n",
            ("Authorization", "Bearer t"),
            ("Authorization", "Bearer tt"),
        ),
        (
            "type = \"header\"\nname = \"X-Key\"\nvalue = \"k\"\n",
            ("x-key", "k"),
            ("x-key", "K"),
        ),
        (
            "type = \"cookie\"\nname = \"sid\"\nvalue = \"a.b\"\n",
            ("Cookie", "x=1; sid=a.b"),
            ("Cookie", "sid=a"),
        ),
        (
            "type = \"oneOf\"\ntypes = [{ type = \"bearer\", value = \"t\" }, { type = \"cookie\", name = \"s\", value = \"v\" }]\n",
            ("Cookie", "s=v"),
            ("Cookie", "s=t"),
        ),
    ] {
        let desk = Desk::start(&format!("[server.auth]\n{auth}"));
        let mut victim = desk
            .client("2")
            .header(good.0, good.1)
            .connect()
            .await
            .unwrap();
        for denied in [None, Some(bad)] {
            let mut client = desk.client("1");
            if let Some((name, value)) = denied {
                client = client.header(name, value);
            }
            let mut thief = client.connect().await.unwrap();
            thief.send(envelope("1", "2", "stolen")).await.ok();
            assert_eq!(thief.recv().await.unwrap(), None);
            let close = thief.close_frame().unwrap();
            assert_eq!(
                (close.code.0, close.reason.as_str()),
                (4050, "Unauthorized"),
                "{auth}"
            );
        }
        let mut friend = desk
            .client("3")
            .header(good.0, good.1)
            .connect()
            .await
            .unwrap();
        friend.send(envelope("3", "2", "hello")).await.unwrap();
        assert!(text(&mut victim).await.contains("hello"));
    }
}

/// S-50, S-51.
#[tokio::test]
async fn every_guarded_rest_endpoint_asks_for_credentials() {
    let desk = Desk::start(&format!("[rest.auth]\n{BASIC}"));
    for (method, path) in [
        ("GET", "/stats"),
        ("GET", "/stat?id=1"),
        ("GET", "/check-online?id=1"),
        ("POST", "/send-message"),
        ("HEAD", "/status"),
        ("GET", "/metrics"),
    ] {
        let (status, head, body) = desk.call(method, path, "", "").await;
        assert_eq!(status, 401, "{method} {path}");
        assert!(
            head.to_ascii_lowercase()
                .contains("www-authenticate: basic realm="),
            "{head}"
        );
        if method != "HEAD" {
            assert_eq!(
                body,
                r#"{"message":"Unauthorized","status":401,"success":false}"#
            );
        }
        let (status, _, _) = desk
            .call(method, path, "Authorization: Basic dTpw\r\n", "")
            .await;
        assert_ne!(status, 401, "{method} {path}");
    }
    for path in ["/health", "/openapi.json"] {
        assert_eq!(desk.call("GET", path, "", "").await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn the_web_page_is_guarded_as_the_messages_are_and_keeps_to_itself() {
    let desk = Desk::start(&format!("[server.auth]\n{BASIC}"));
    let url = desk.url("web chat");
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let (status, head, _) = http(address, "GET", "/", "", "").await;
    assert!(
        status == 401 && head.to_ascii_lowercase().contains("www-authenticate"),
        "{head}"
    );
    let credentials = "Authorization: Basic dTpw\r\n";
    let (status, head, body) = http(address, "GET", "/", credentials, "").await;
    assert_eq!(status, 200);
    for expected in [
        "content-security-policy: default-src 'self'",
        "x-content-type-options: nosniff",
    ] {
        assert!(head.to_ascii_lowercase().contains(expected), "{head}");
    }
    assert!(
        !body.contains("http://") && !body.contains("https://"),
        "the page loads nothing from elsewhere"
    );
    assert_eq!(
        http(address, "GET", "/../Cargo.toml", credentials, "")
            .await
            .0,
        404
    );
}

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

    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub(crate) fn sign(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (PathBuf, PathBuf) {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        self.sign_with(name, params, usage)
    }

    pub(crate) fn sign_with(
        &self,
        name: &str,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        params.extended_key_usages = vec![usage];
        let paths = (
            self.dir.path().join(format!("{name}.pem")),
            self.dir.path().join(format!("{name}.key")),
        );
        std::fs::write(
            &paths.0,
            params.signed_by(&key, &self.issuer).unwrap().pem(),
        )
        .unwrap();
        std::fs::write(&paths.1, key.serialize_pem()).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let owner_only = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&paths.1, owner_only).unwrap();
        }
        paths
    }
}

#[tokio::test]
async fn users_talk_over_wss_and_with_mutual_tls_only_with_a_certificate() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("server", ExtendedKeyUsagePurpose::ServerAuth);
    let (client_certificate, client_key) =
        authority.sign("client", ExtendedKeyUsagePurpose::ClientAuth);
    let trusting = ClientTls::with_ca(&authority.ca()).unwrap();
    let identified =
        ClientTls::with_ca_and_identity(&authority.ca(), &client_certificate, &client_key).unwrap();
    for mutual in [false, true] {
        let ca = if mutual {
            authority.ca().display().to_string()
        } else {
            String::new()
        };
        let desk = Desk::start(&format!(
            "[server.tls]\nenabled = true\ncertificate = {:?}\nkey = {:?}\nclient_ca = {ca:?}\n",
            certificate.display().to_string(),
            key.display().to_string()
        ));
        let url = desk.url("messaging").replace("127.0.0.1", "localhost");
        assert!(url.starts_with("wss://"));
        let client = |id: u8, tls: &ClientTls| {
            Client::new(&format!("{url}?id={id}"))
                .unwrap()
                .tls(tls.clone())
        };
        let mut one = client(1, &identified).connect().await.unwrap();
        let mut two = client(2, &identified).connect().await.unwrap();
        one.send(envelope("1", "2", "secret")).await.unwrap();
        assert!(text(&mut two).await.contains("secret"));
        assert_eq!(
            client(3, &trusting).connect().await.is_ok(),
            !mutual,
            "mutual: {mutual}"
        );
        assert!(desk.running.stop().await);
    }
}

/// There are old clients that take an answer of at most 512 bytes.
#[tokio::test]
async fn the_answer_says_that_a_pong_confirms_where_it_does_and_stays_short() {
    for (config, confirms) in [("", true), ("[server]\nconfirm = \"written\"\n", false)] {
        let desk = Desk::start(config);
        let (socket, head) = desk.client("1").connect_with_head().await.unwrap();
        assert_eq!(head.has_token("tidewire-confirm", "pong"), confirms);
        drop(socket);
        let fields = head.fields();
        let bytes: usize = fields
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum();
        assert!(bytes + 34 <= 512, "{bytes}"); // the status line and the empty one
    }
}

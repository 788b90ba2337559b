//! Usual TLS: the client verifies the server, and both know what was agreed.

use std::error::Error;

use rcgen::date_time_ymd;
use tidewire::{
    tls::{ClientTls, Identity, ServerTls, TlsError, TlsVersion},
    ws::{Client, ConnectError},
};

use super::{Authority, Served, servers_usage};

#[tokio::test]
async fn both_sides_know_what_was_agreed() {
    let authority = Authority::new();
    let mut served = Served::start(authority.server());
    let socket = served
        .connect("localhost", &authority.client())
        .await
        .unwrap();
    let client = served.peer().await;
    let server = socket.peer();
    assert!(client.secure && server.secure);
    let (at_server, at_client) = (client.tls.as_ref().unwrap(), server.tls.as_ref().unwrap());
    for tls in [at_server, at_client] {
        assert_eq!(tls.version, TlsVersion::V1_3);
        assert!(
            tls.cipher_suite.starts_with("TLS13_"),
            "{}",
            tls.cipher_suite
        );
        assert_eq!(tls.alpn.as_deref(), Some(&b"http/1.1"[..]));
        assert_eq!(tls.server_name.as_deref(), Some("localhost"));
    }
    assert!(client.certificates().is_empty());
    assert_eq!(at_server.names().unwrap(), None);
    let names = at_client.names().unwrap().unwrap();
    assert_eq!(names.dns, ["localhost"]);
}

#[tokio::test]
async fn a_certificate_for_another_host_or_of_another_ca_or_time_is_refused_by_the_client() {
    let (authority, other) = (Authority::new(), Authority::new());
    let served = Served::start(authority.server());
    let refused = |error: ConnectError| matches!(error, ConnectError::Tls { .. });
    let wrong_host = served.connect("127.0.0.1", &authority.client()).await;
    assert!(refused(wrong_host.unwrap_err()));
    let wrong_ca = served.connect("localhost", &other.client()).await;
    assert!(refused(wrong_ca.unwrap_err()));

    let mut expired = servers_usage();
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let identity = authority.identity("expired", &expired);
    let served = Served::start(ServerTls::builder(identity).build().unwrap());
    let too_late = served.connect("localhost", &authority.client()).await;
    assert!(refused(too_late.unwrap_err()));
    assert_eq!(served.server.stats().opened, 0);
}

#[tokio::test]
async fn a_refused_certificate_is_explained_in_words() {
    let (authority, other) = (Authority::new(), Authority::new());
    let cause = |error: ConnectError| Error::source(&error).expect("a cause").to_string();
    let served = Served::start(authority.server());
    let wrong_host = served.connect("127.0.0.1", &authority.client()).await;
    assert_eq!(
        cause(wrong_host.unwrap_err()),
        "the peer's certificate is not accepted: it is for localhost, expected 127.0.0.1"
    );
    let wrong_ca = served.connect("localhost", &other.client()).await;
    assert_eq!(
        cause(wrong_ca.unwrap_err()),
        "the peer's certificate is not accepted: it comes from an authority that is not trusted"
    );
    // What `openssl req -x509` makes unless it is told otherwise.
    let mut of_an_authority = servers_usage();
    of_an_authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let identity = authority.identity("authority", &of_an_authority);
    let served = Served::start(ServerTls::builder(identity).build().unwrap());
    let error = served.connect("localhost", &authority.client()).await;
    let cause = cause(error.unwrap_err());
    assert!(
        cause.contains("expected one of a server or client (CA:FALSE)"),
        "{cause}"
    );
}

#[tokio::test]
async fn an_ip_address_is_verified_and_no_name_is_sent_for_it() {
    let authority = Authority::new();
    let mut params = servers_usage();
    params.subject_alt_names = vec![rcgen::SanType::IpAddress([127, 0, 0, 1].into())];
    let identity = authority.identity("server", &params);
    let mut served = Served::start(ServerTls::builder(identity).build().unwrap());
    served
        .connect("127.0.0.1", &authority.client())
        .await
        .unwrap();
    assert_eq!(served.peer().await.tls.unwrap().server_name, None);
    let by_name = served.connect("localhost", &authority.client()).await;
    assert!(matches!(by_name, Err(ConnectError::Tls { .. })));
}

#[tokio::test]
async fn another_name_than_the_address_tells_is_sent_and_verified() {
    let authority = Authority::new();
    let mut served = Served::start(authority.server());
    let client = |name: &str| {
        let builder = ClientTls::builder().ca_file(authority.ca());
        builder.server_name(name).build().unwrap()
    };
    let named = client("localhost");
    let socket = served.connect("127.0.0.1", &named).await.unwrap();
    let sent = served.peer().await.tls.unwrap().server_name;
    assert_eq!(sent.as_deref(), Some("localhost"));
    assert_eq!(socket.peer().tls.as_ref().unwrap().server_name, sent);
    for wrong in ["other.example", "127.0.0.1"] {
        served.refuses(&client(wrong), wrong).await;
    }
    assert_ne!(named, authority.client());
    let builder = ClientTls::builder().ca_file(authority.ca());
    let error = builder.server_name("no name").build().unwrap_err();
    assert!(
        error.to_string().contains("server name \"no name\""),
        "{error}"
    );
}

#[tokio::test]
async fn several_authorities_can_be_trusted_from_files_and_memory() {
    let (one, two) = (Authority::new(), Authority::new());
    let both = ClientTls::builder()
        .ca_file(one.ca())
        .ca_pem(std::fs::read(two.ca()).unwrap())
        .build()
        .unwrap();
    for authority in [&one, &two] {
        let served = Served::start(authority.server());
        served.connect("localhost", &both).await.unwrap();
    }
}

#[tokio::test]
async fn an_identity_comes_from_memory_or_from_one_file_with_both() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("server", &servers_usage());
    let (certificate, key) = (
        std::fs::read_to_string(certificate).unwrap(),
        std::fs::read_to_string(key).unwrap(),
    );
    let both = authority.path("both.pem");
    super::authority::write_key(&both, &format!("{certificate}{key}"));
    for identity in [
        Identity::from_pem(certificate, key),
        Identity::from_files(&both, &both),
    ] {
        let served = Served::start(ServerTls::builder(identity).build().unwrap());
        served
            .connect("localhost", &authority.client())
            .await
            .unwrap();
    }
}

#[test]
fn files_that_are_no_certificates_are_named() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("server", &servers_usage());
    let error = ServerTls::from_pem(&authority.path("missing.pem"), &key).unwrap_err();
    assert!(
        matches!(&error, TlsError::Pem { path, .. } if path.ends_with("missing.pem")),
        "{error}"
    );
    super::authority::set_mode(&certificate, 0o600);
    let error = ServerTls::from_pem(&certificate, &certificate).unwrap_err();
    assert!(
        matches!(&error, TlsError::Pem { path, expected: "a private key", .. } if *path == certificate),
        "{error}"
    );
    let (_, other_key) = authority.sign("other", &servers_usage());
    let error = ServerTls::from_pem(&certificate, &other_key).unwrap_err();
    assert!(
        matches!(&error, TlsError::Identity { key, .. } if *key == other_key),
        "{error}"
    );
    assert!(error.to_string().contains("certificate and key"), "{error}");
    let error = ServerTls::mutual_from_pem(&certificate, &key, &key).unwrap_err();
    assert!(
        matches!(&error, TlsError::Pem { path, expected: "a certificate", .. } if *path == key),
        "{error}"
    );
}

#[test]
fn settings_that_contradict_each_other_are_errors() {
    let authority = Authority::new();
    let list = authority.revoke(&[], 4000);
    let error = ClientTls::builder().build().unwrap_err();
    assert!(error.to_string().contains("none chosen"), "{error}");
    let both = ClientTls::builder()
        .ca_file(authority.ca())
        .danger_unverified();
    let error = both.build().unwrap_err();
    assert!(error.to_string().contains("verifies nothing"), "{error}");
    let identity = authority.identity("server", &servers_usage());
    let error = ServerTls::builder(identity)
        .crl_file(list)
        .build()
        .unwrap_err();
    assert!(error.to_string().contains("no client CA"), "{error}");
}

/// The causes on one line.
fn chain(error: &ConnectError) -> String {
    let mut text = error.to_string();
    let mut cause = Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Of this kind: another name, expired, not valid yet, signed by itself, of an unknown authority, a client's
/// certificate that is missing or not accepted, no application protocol in common, no version of TLS in common.
#[tokio::test]
async fn a_handshake_that_fails_is_told_with_what_can_be_done() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = |change: fn(&mut rcgen::CertificateParams)| {
        let mut params = servers_usage();
        change(&mut params);
        let identity = authority.identity("server", &params);
        Served::start(ServerTls::builder(identity).build().unwrap())
    };
    let usual = server(|_params| {});
    let expired = server(|params| params.not_after = date_time_ymd(2021, 1, 1));
    let future = server(|params| params.not_before = date_time_ymd(4000, 1, 1));
    for (served, host, client, expected) in [
        (
            &usual,
            "127.0.0.1",
            authority.client(),
            "connect by a name that the certificate has",
        ),
        (
            &usual,
            "localhost",
            other.client(),
            "add the authority's certificate to those that are trusted",
        ),
        (
            &expired,
            "localhost",
            authority.client(),
            "renew the server's certificate",
        ),
        (
            &future,
            "localhost",
            authority.client(),
            "set this machine's clock if that is wrong",
        ),
    ] {
        let error = served.connect(host, &client).await.unwrap_err();
        let text = chain(&error);
        assert!(
            text.starts_with(&format!("TLS handshake with {host} failed: ")),
            "{text}"
        );
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_signed_by_itself_is_told_from_one_of_an_unknown_authority() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = servers_usage();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "myself");
    let certificate = params.self_signed(&key).unwrap();
    let identity = Identity::from_pem(certificate.pem(), key.serialize_pem());
    let served = Served::start(ServerTls::builder(identity).build().unwrap());
    let error = served
        .connect("localhost", &Authority::new().client())
        .await
        .unwrap_err();
    let text = chain(&error);
    assert!(
        text.contains("it is signed by itself and not trusted"),
        "{text}"
    );
    assert!(
        text.contains("add this certificate to those that are trusted"),
        "{text}"
    );
    assert!(error.is_permanent());
    // Then it is.
    let client = ClientTls::builder()
        .ca_pem(certificate.pem())
        .build()
        .unwrap();
    served.connect("localhost", &client).await.unwrap();
}

#[tokio::test]
async fn a_server_that_refuses_the_client_is_told_in_words() {
    let (authority, strangers) = (Authority::new(), Authority::new());
    let identity = authority.identity("server", &servers_usage());
    let tls = ServerTls::builder(identity.clone()).client_ca_file(authority.ca());
    let served = Served::start(tls.build().unwrap());
    let stranger = ClientTls::builder()
        .ca_file(authority.ca())
        .identity(strangers.identity("client", &super::clients_usage()))
        .build()
        .unwrap();
    for (client, expected) in [
        (
            authority.client(),
            "certificate required: the server lets in clients with a certificate only",
        ),
        (
            stranger,
            "the server does not accept this client's certificate",
        ),
    ] {
        let error = served.connect("localhost", &client).await.unwrap_err();
        assert!(chain(&error).contains(expected), "{}", chain(&error));
    }
    let old = ClientTls::builder()
        .ca_file(authority.ca())
        .alpn(["nonsense"])
        .build()
        .unwrap();
    let error = Served::start(ServerTls::builder(identity).build().unwrap())
        .connect("localhost", &old)
        .await
        .unwrap_err();
    let expected = "none of the application protocols that were offered (ALPN)";
    assert!(chain(&error).contains(expected), "{}", chain(&error));
}

#[tokio::test]
async fn a_dot_at_the_end_of_the_host_and_its_case_are_no_part_of_the_name_in_the_certificate() {
    let authority = Authority::new();
    let mut served = Served::start(authority.server());
    for host in ["localhost.", "LOCALHOST", "LocalHost."] {
        let url = format!("wss://{host}:{}/", served.port());
        let client = Client::new(&url).unwrap().tls(authority.client());
        let client = client.address(served.server.local_addr());
        let _socket = client.connect().await.unwrap();
        let tls = served.peer().await.tls.unwrap();
        assert_eq!(tls.server_name.as_deref(), Some("localhost"), "{host}");
    }
}

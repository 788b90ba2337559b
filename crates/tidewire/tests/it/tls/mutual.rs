//! Mutual TLS: whoever cannot show a good certificate is not let in.

use rcgen::{CertificateParams, DnType, SanType, SerialNumber, date_time_ymd};
use tidewire::{
    proto::CloseCode,
    tls::{ClientTls, ServerTls, ServerTlsBuilder, TlsError},
};

use super::{Authority, Served, clients_usage, echoes, servers_usage};

pub(super) fn mutual(authority: &Authority) -> ServerTlsBuilder {
    let identity = authority.identity("server", &servers_usage());
    ServerTls::builder(identity).client_ca_file(authority.ca())
}

pub(super) fn with_serial(serial: u64) -> CertificateParams {
    let mut params = clients_usage();
    params.serial_number = Some(SerialNumber::from(serial));
    params
}

#[tokio::test]
async fn one_client_over_mutual_tls_comes_and_goes() {
    let authority = Authority::new();
    let tls = mutual(&authority).build().unwrap();
    assert!(tls.is_mutual());
    let mut served = Served::start(tls);
    let client = authority.identified(&clients_usage());
    let mut socket = served.connect("localhost", &client).await.unwrap();
    assert!(socket.is_open());
    assert_eq!(served.peer().await.certificates().len(), 1);
    let stats = served.server.stats();
    assert_eq!((stats.connections, stats.opened, stats.refused), (1, 1, 0));
    socket.close(CloseCode::NORMAL, "").await.unwrap();
    assert!(!socket.is_open());
    served.empty().await;
}

#[tokio::test]
async fn nobody_gets_in_without_a_good_certificate_of_the_ca() {
    let (authority, strangers) = (Authority::new(), Authority::new());
    let served = Served::start(mutual(&authority).build().unwrap());
    let mut expired = clients_usage();
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let of_another_ca = ClientTls::builder()
        .ca_file(authority.ca())
        .identity(strangers.identity("client", &clients_usage()))
        .build()
        .unwrap();
    served.refuses(&authority.client(), "no certificate").await;
    served.refuses(&of_another_ca, "another CA").await;
    let expired = authority.identified(&expired);
    served.refuses(&expired, "expired").await;
    let servers = authority.identified(&servers_usage());
    served.refuses(&servers, "a certificate for servers").await;
    let good = authority.identified(&clients_usage());
    served.connect("localhost", &good).await.unwrap();
    assert_eq!(served.server.stats().refused, 4);
}

#[tokio::test]
async fn revoked_clients_are_refused_and_others_are_not() {
    let authority = Authority::new();
    let list = authority.revoke(&[2], 4000);
    let served = Served::start(mutual(&authority).crl_file(list).build().unwrap());
    let good = authority.identified(&with_serial(1));
    served.connect("localhost", &good).await.unwrap();
    let revoked = authority.identified(&with_serial(2));
    served.refuses(&revoked, "revoked").await;
}

#[tokio::test]
async fn an_unknown_revocation_status_is_a_refusal_unless_told_otherwise() {
    let (authority, other) = (Authority::new(), Authority::new());
    let client = authority.identified(&with_serial(1));
    for (why, list) in [
        ("a list past its time", authority.revoke(&[], 2021)),
        ("a list of another CA", other.revoke(&[], 4000)),
    ] {
        let builder = mutual(&authority).crl_file(list);
        let served = Served::start(builder.clone().build().unwrap());
        served.refuses(&client, why).await;
        let lenient = builder.danger_allow_unknown_revocation().build().unwrap();
        let served = Served::start(lenient);
        served.connect("localhost", &client).await.unwrap();
    }
}

#[test]
fn a_broken_revocation_list_is_an_error_that_names_it() {
    let authority = Authority::new();
    let list = authority.revoke(&[], 4000);
    let pem = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    std::fs::write(&list, pem).unwrap();
    let error = mutual(&authority).crl_file(&list).build().unwrap_err();
    assert!(error.to_string().contains("revoked.pem"), "{error}");
    let error = mutual(&authority).crl_file(authority.ca()).build();
    assert!(
        matches!(
            error,
            Err(TlsError::Pem {
                expected: "a certificate revocation list",
                ..
            })
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_client_revoked_later_cannot_resume_its_session() {
    let authority = Authority::new();
    let list = authority.revoke(&[], 4000);
    let tls = mutual(&authority).crl_file(&list).build().unwrap();
    let served = Served::start(tls.clone());
    // One client, so that it could resume what it remembers.
    let client = authority.identified(&with_serial(7));
    let mut live = served.connect("localhost", &client).await.unwrap();
    authority.revoke(&[7], 4000);
    tls.reload().unwrap();
    served.refuses(&client, "revoked meanwhile").await;
    echoes(&mut live).await;
}

#[tokio::test]
async fn a_client_whose_ca_was_removed_cannot_come_again() {
    let (authority, successor) = (Authority::new(), Authority::new());
    let tls = mutual(&authority).build().unwrap();
    let served = Served::start(tls.clone());
    let trusted = authority.path("trusted.pem");
    std::fs::copy(authority.ca(), &trusted).unwrap();
    let client = ClientTls::builder()
        .ca_file(&trusted)
        .identity(authority.identity("client", &clients_usage()))
        .build()
        .unwrap();
    served.connect("localhost", &client).await.unwrap();
    std::fs::copy(successor.ca(), authority.ca()).unwrap();
    tls.reload().unwrap();
    served.refuses(&client, "its CA is trusted no more").await;
}

#[tokio::test]
async fn the_names_of_a_client_are_told() {
    let authority = Authority::new();
    let mut served = Served::start(mutual(&authority).build().unwrap());
    let mut params = clients_usage();
    params.distinguished_name.push(DnType::CommonName, "Jürgen");
    params.subject_alt_names = vec![
        SanType::DnsName("one.svc.local".try_into().unwrap()),
        SanType::DnsName("*.svc.local".try_into().unwrap()),
        SanType::URI("spiffe://example.org/one".try_into().unwrap()),
        SanType::Rfc822Name("one@example.org".try_into().unwrap()),
        SanType::IpAddress([127, 0, 0, 1].into()),
    ];
    let client = authority.identified(&params);
    served.connect("localhost", &client).await.unwrap();
    let names = served.peer().await.tls.unwrap().names().unwrap().unwrap();
    assert_eq!(names.common_name.as_deref(), Some("Jürgen"));
    assert_eq!(names.dns, ["one.svc.local", "*.svc.local"]);
    assert_eq!(names.uris, ["spiffe://example.org/one"]);
    assert_eq!(names.emails, ["one@example.org"]);
}

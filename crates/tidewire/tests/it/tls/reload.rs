//! Certificates, keys and lists that change while the server runs.

use std::{path::PathBuf, time::Duration};

use rcgen::SerialNumber;
use tidewire::{
    tls::{ClientTls, Identity, ServerTls, ServerTlsBuilder, TlsError},
    ws::WebSocket,
};

use super::{Authority, Served, clients_usage, echoes, servers_usage};

fn server(authority: &Authority) -> (ServerTlsBuilder, PathBuf, PathBuf) {
    let (certificate, key) = authority.sign("server", &servers_usage());
    let builder = ServerTls::builder(Identity::from_files(&certificate, &key));
    (builder, certificate, key)
}

/// The certificate that the server showed.
fn shown(socket: &WebSocket) -> Vec<u8> {
    socket.peer().certificates().first().unwrap().clone()
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_while_a_connection_lives() {
    let authority = Authority::new();
    let (builder, ..) = server(&authority);
    let tls = builder.build().unwrap();
    let served = Served::start(tls.clone());
    // One client, so that it could resume its session and see no certificate at all.
    let client = authority.client();
    let mut live = served.connect("localhost", &client).await.unwrap();
    for _ in 0..3 {
        let before = served.connect("localhost", &client).await.unwrap();
        authority.sign("server", &servers_usage());
        tls.reload().unwrap();
        let after = served.connect("localhost", &client).await.unwrap();
        assert_ne!(shown(&before), shown(&after));
    }
    echoes(&mut live).await;
}

#[tokio::test]
async fn a_broken_new_file_keeps_the_old_certificate() {
    let authority = Authority::new();
    for follow in [false, true] {
        let (builder, certificate, key) = server(&authority);
        let builder = if follow {
            builder.reload_every(Duration::ZERO)
        } else {
            builder
        };
        let tls = builder.build().unwrap();
        let served = Served::start(tls.clone());
        let client = authority.client();
        let old = shown(&served.connect("localhost", &client).await.unwrap());
        let good = std::fs::read(&certificate).unwrap();

        let half = good.get(..good.len() / 2).unwrap();
        std::fs::write(&certificate, half).unwrap();
        if !follow {
            let error = tls.reload().unwrap_err();
            assert!(
                matches!(&error, TlsError::Pem { path, .. } if *path == certificate),
                "{error}"
            );
        }
        assert_eq!(
            shown(&served.connect("localhost", &client).await.unwrap()),
            old
        );

        // Half a renewal: the new certificate with the old key.
        let old_key = std::fs::read_to_string(&key).unwrap();
        authority.sign("server", &servers_usage());
        let new_key = std::fs::read_to_string(&key).unwrap();
        super::authority::write_key(&key, &old_key);
        if !follow {
            let error = tls.reload().unwrap_err();
            assert!(matches!(error, TlsError::Identity { .. }), "{error}");
        }
        assert_eq!(
            shown(&served.connect("localhost", &client).await.unwrap()),
            old
        );

        super::authority::write_key(&key, &new_key);
        if !follow {
            tls.reload().unwrap();
        }
        assert_ne!(
            shown(&served.connect("localhost", &client).await.unwrap()),
            old
        );
    }
}

#[tokio::test]
async fn changed_files_are_found_by_the_handshakes() {
    let authority = Authority::new();
    let list = authority.revoke(&[], 4000);
    let (builder, ..) = server(&authority);
    let builder = builder.client_ca_file(authority.ca()).crl_file(list);
    let served = Served::start(builder.reload_every(Duration::ZERO).build().unwrap());
    let mut params = clients_usage();
    params.serial_number = Some(SerialNumber::from(9));
    let client = authority.identified(&params);
    let old = shown(&served.connect("localhost", &client).await.unwrap());
    authority.sign("server", &servers_usage());
    let new = shown(&served.connect("localhost", &client).await.unwrap());
    assert_ne!(old, new);
    authority.revoke(&[9], 4000);
    served.refuses(&client, "revoked meanwhile").await;
    authority.revoke(&[], 4000);
    served.connect("localhost", &client).await.unwrap();
}

#[tokio::test]
async fn files_are_left_alone_before_the_interval_is_over() {
    let authority = Authority::new();
    let (builder, ..) = server(&authority);
    let day = Duration::from_hours(24);
    let served = Served::start(builder.reload_every(day).build().unwrap());
    let client = authority.client();
    let old = shown(&served.connect("localhost", &client).await.unwrap());
    authority.sign("server", &servers_usage());
    let socket = served.connect("localhost", &client).await.unwrap();
    assert_eq!(shown(&socket), old);
}

#[tokio::test]
async fn a_client_shows_its_renewed_certificate() {
    let authority = Authority::new();
    let (builder, ..) = server(&authority);
    let tls = builder.client_ca_file(authority.ca()).build().unwrap();
    let mut served = Served::start(tls);
    let client: ClientTls = authority.identified(&clients_usage());
    served.connect("localhost", &client).await.unwrap();
    let before = served.peer().await;
    authority.sign("client", &clients_usage());
    client.reload().unwrap();
    served.connect("localhost", &client).await.unwrap();
    assert_ne!(before.certificates(), served.peer().await.certificates());
}

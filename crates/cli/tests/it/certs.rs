//! `tidewire certs`: what it writes, for whom to read, what it leaves alone, and that others take it: our own server
//! and clients, and OpenSSL.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::{TempDir, tempdir};
use tidewire::{
    tls::{ClientTls, Identity},
    ws::{Client, ConnectError, WebSocket},
};

use crate::{
    program::{Ended, command, end, tidewire},
    run,
    server::{Home, Server},
};

const FORMS: [&str; 4] = ["crt", "key", "pem", "pfx"];

fn certs(directory: &Path, arguments: &[&str]) -> Ended {
    let arguments: Vec<&str> = ["certs"].iter().chain(arguments).copied().collect();
    end(tidewire(directory, &arguments), "")
}

/// Made with these arguments, in the folder `certificates`.
fn made(arguments: &[&str]) -> (TempDir, PathBuf) {
    let directory = tempdir().expect("a temporary directory");
    let ended = certs(directory.path(), arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr, "");
    let path = directory.path().join("certificates");
    (directory, path)
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("readable");
    let mut names: Vec<String> = entries
        .map(|it| {
            it.expect("readable")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    names
}

fn openssl(directory: &Path, arguments: &str) -> Ended {
    let mut openssl = command("openssl", directory);
    openssl.args(arguments.split_whitespace());
    end(openssl, "")
}

fn openssl_says(directory: &Path, arguments: &str, expected: &str) {
    let ended = openssl(directory, arguments);
    assert!(
        ended.code == Some(0) && ended.stdout.contains(expected),
        "openssl {arguments}: {ended:?}"
    );
}

/// A messaging server that lets in only clients of this authority.
async fn serve(files: &Path, certificate: &str, key: &str, ca: &str) -> (Home, Server) {
    let path = |name: &str| files.join(name).display().to_string();
    let home = Home::new(&format!(
        "[server.tls]\nenabled = true\ncertificate = {:?}\nkey = {:?}\nclient_ca = {:?}\n",
        path(certificate),
        path(key),
        path(ca)
    ));
    let server = home.start().await;
    (home, server)
}

async fn connect(server: &Server, tls: ClientTls) -> Result<WebSocket, ConnectError> {
    let url = server.url("messaging").replace("127.0.0.1", "localhost");
    let client = Client::new(&format!("{url}?id=7")).expect("a URL").tls(tls);
    client.connect().await
}

#[test]
fn an_authority_a_server_and_a_client_are_made_in_four_forms_for_their_owner_only() {
    let (_directory, files) = made(&[]);
    let expected: Vec<String> = ["ca", "client", "server"]
        .iter()
        .flat_map(|stem| FORMS.map(|form| format!("{stem}.{form}")))
        .collect();
    assert_eq!(names(&files), expected);
    for name in expected {
        let mode = fs::metadata(files.join(&name))
            .expect("there")
            .permissions()
            .mode();
        let is_public = Path::new(&name).extension() == Some("crt".as_ref());
        let expected = if is_public { 0o644 } else { 0o600 };
        assert_eq!(mode & 0o777 & !0o022, expected, "{name}: {mode:o}");
    }
}

#[test]
fn our_own_server_and_clients_trust_each_other_by_them() {
    let (_directory, files) = made(&[]);
    run(async {
        let (_home, server) = serve(&files, "server.crt", "server.key", "ca.crt").await;
        let trusting = || ClientTls::builder().ca_file(files.join("ca.crt"));
        for identity in [
            Identity::from_files(files.join("client.crt"), files.join("client.key")),
            // One file with both, as CppServer's programs take it.
            Identity::from_files(files.join("client.pem"), files.join("client.pem"))
                .passphrase("qwerty"),
        ] {
            let tls = trusting().identity(identity).build().expect("usable");
            connect(&server, tls).await.expect("it is let in");
        }
        let tls = trusting().build().expect("usable");
        let url = server.url("messaging").replace("127.0.0.1", "localhost");
        let client = Client::new(&format!("{url}?id=7")).expect("a URL").tls(tls);
        client
            .connect()
            .await
            .expect_err("nobody without a certificate");
    });
}

#[test]
fn openssl_takes_every_form() {
    let (_directory, files) = made(&["--passphrase", "correct horse"]);
    fs::write(files.join("secret"), "correct horse\n").expect("writable");
    for name in ["server", "client"] {
        let purpose = format!("ssl{name}");
        let verify = format!("verify -x509_strict -purpose {purpose} -CAfile ca.crt {name}.crt");
        openssl_says(&files, &verify, &format!("{name}.crt: OK"));
    }
    openssl_says(
        &files,
        "verify -x509_strict -check_ss_sig -CAfile ca.crt ca.crt",
        "ca.crt: OK",
    );
    for name in ["ca", "server", "client"] {
        let pfx = format!("pkcs12 -in {name}.pfx -passin file:secret -nodes");
        openssl_says(&files, &pfx, "-----BEGIN PRIVATE KEY-----");
        openssl_says(&files, &pfx, "-----BEGIN CERTIFICATE-----");
        let key = openssl(&files, &format!("pkey -in {name}.key"));
        let decrypted = openssl(&files, &format!("pkey -in {name}.pem -passin file:secret"));
        assert_eq!((key.code, decrypted.code), (Some(0), Some(0)));
        assert_eq!(key.stdout, decrypted.stdout, "the same key");
        let wrong = openssl(&files, &format!("pkey -in {name}.pem -passin pass:qwerty"));
        assert_ne!(wrong.code, Some(0), "the passphrase is another");
    }
    let names = "x509 -in server.crt -noout -subject -ext subjectAltName";
    openssl_says(&files, names, "CN = server.example.com");
    openssl_says(&files, names, "DNS:localhost, IP Address:127.0.0.1");
}

#[test]
fn rsa_keys_have_4096_bits_as_in_the_recipe() {
    let (_directory, files) = made(&["--rsa", "--days", "10"]);
    for name in ["ca", "server", "client"] {
        let text = format!("x509 -in {name}.crt -noout -text");
        openssl_says(&files, &text, "Public-Key: (4096 bit)");
        openssl_says(&files, &text, "sha256WithRSAEncryption");
    }
    openssl_says(
        &files,
        "verify -CAfile ca.crt server.crt client.crt",
        "server.crt: OK",
    );
    run(async {
        let (_home, server) = serve(&files, "server.crt", "server.key", "ca.crt").await;
        let identity = Identity::from_files(files.join("client.crt"), files.join("client.key"));
        let tls = ClientTls::builder()
            .ca_file(files.join("ca.crt"))
            .identity(identity);
        connect(&server, tls.build().expect("usable"))
            .await
            .expect("it is let in");
    });
}

#[test]
fn a_server_that_signs_itself_vouches_for_its_client() {
    let (_directory, files) = made(&["--self-signed"]);
    let expected = [
        "ca-cert.pem",
        "client-cert.pem",
        "client-key.pem",
        "server-cert.pem",
        "server-key.pem",
    ];
    assert_eq!(names(&files), expected);
    let verify = "verify -CAfile ca-cert.pem server-cert.pem client-cert.pem";
    openssl_says(&files, verify, "client-cert.pem: OK");
    run(async {
        let (certificate, key) = ("server-cert.pem", "server-key.pem");
        let (_home, server) = serve(&files, certificate, key, "ca-cert.pem").await;
        let identity =
            Identity::from_files(files.join("client-cert.pem"), files.join("client-key.pem"));
        let tls = ClientTls::builder()
            .ca_file(files.join("ca-cert.pem"))
            .identity(identity);
        connect(&server, tls.build().expect("usable"))
            .await
            .expect("it is let in");
    });
}

#[test]
fn nothing_is_overwritten_unless_it_is_said() {
    let (directory, files) = made(&[]);
    let before = fs::read(files.join("server.key")).expect("readable");
    fs::remove_file(files.join("ca.key")).expect("ours");
    let refused = certs(directory.path(), &[]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert!(refused.stderr.contains("server.key"), "{}", refused.stderr);
    assert!(!files.join("ca.key").exists(), "all or nothing");
    assert_eq!(
        fs::read(files.join("server.key")).expect("readable"),
        before
    );

    // A key that others could read is not again one.
    let exposed = fs::Permissions::from_mode(0o644);
    fs::set_permissions(files.join("server.key"), exposed).expect("ours");
    let forced = certs(directory.path(), &["--force"]);
    assert_eq!(forced.code, Some(0), "{}", forced.stderr);
    assert_ne!(
        fs::read(files.join("server.key")).expect("readable"),
        before
    );
    let mode = fs::metadata(files.join("server.key"))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    openssl_says(&files, "verify -CAfile ca.crt server.crt", "OK");
}

#[test]
fn an_authority_that_is_there_signs_more() {
    let (directory, files) = made(&["--dir", "certificates"]);
    let authority = fs::read(files.join("ca.crt")).expect("readable");
    let arguments = [
        "--existing-ca",
        "--client",
        "bob",
        "--server",
        "*.example.org",
    ];
    let ended = certs(directory.path(), &arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(fs::read(files.join("ca.crt")).expect("readable"), authority);
    let verify = "verify -x509_strict -CAfile ca.crt bob.crt x.example.org.crt";
    openssl_says(&files, verify, "bob.crt: OK");
    // An authority of somebody else's making.
    let other = directory.path().join("other");
    fs::create_dir(&other).expect("writable");
    let request = "req -x509 -newkey rsa:2048 -nodes -days 9 -keyout ca.key -out ca.crt -subj /O=Other/CN=Other";
    assert_eq!(openssl(&other, request).code, Some(0));
    let arguments = ["--dir", "other", "--existing-ca", "--server", "a.example"];
    let ended = certs(directory.path(), &arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    openssl_says(&other, "verify -CAfile ca.crt a.example.crt", "OK");
    // Its own end is that of what it signs.
    let ends = |name: &str| openssl(&other, &format!("x509 -noout -enddate -in {name}")).stdout;
    assert_eq!(ends("a.example.crt"), ends("ca.crt"));
}

#[test]
fn what_cannot_sign_is_told_before_it_signs() {
    let (directory, files) = made(&["--dir", "certificates"]);
    let (_other, others) = made(&["--dir", "certificates"]);
    let copy = |from: &Path, to: &str| fs::copy(from, files.join(to)).expect("writable");
    let refused = |client: &str, expected: &str| {
        let ended = certs(directory.path(), &["--existing-ca", "--client", client]);
        assert!(
            ended.code == Some(2) && ended.stderr.contains(expected),
            "{ended:?}"
        );
        assert!(!files.join("bob.key").exists());
    };
    refused("CA", "cannot name files");
    copy(&others.join("ca.key"), "ca.key");
    refused("bob", "not the key of ca.crt");
    copy(&files.join("server.crt"), "ca.crt");
    copy(&files.join("server.key"), "ca.key");
    refused("bob", "not the certificate of an authority");
}

#[test]
fn wrong_wishes_are_told_before_anything_is_written() {
    let long = "x y".repeat(22);
    let cases: [(&[&str], &str); 10] = [
        (&["--days", "0"], "--days"),
        (&["--server", ""], "1 to 253 bytes"),
        (&["--client", &long], "at most 64 bytes"),
        (
            &["--client", "alice", "--client", "b@example.org"],
            "only the first name",
        ),
        (&["--server", "no host"], "that of a host"),
        (&["--passphrase", ""], "passphrase is empty"),
        (&["--passphrase-file", "missing"], "missing"),
        (&["--existing-ca", "--client", "bob"], "no authority"),
        (&["--existing-ca"], "--server or --client"),
        (&["--self-signed", "--ca", "x"], "--ca"),
    ];
    for (arguments, expected) in cases {
        let directory = tempdir().expect("a temporary directory");
        let ended = certs(directory.path(), arguments);
        assert!(
            matches!(ended.code, Some(1 | 2)) && ended.stderr.contains(expected),
            "{arguments:?}: {ended:?}"
        );
        assert_eq!(names(directory.path()), [""; 0], "{arguments:?}");
    }
}

#[test]
fn it_needs_no_openssl() {
    let directory = tempdir().expect("a temporary directory");
    let mut certs: Command = tidewire(directory.path(), &["certs"]);
    certs.env("PATH", "");
    let ended = end(certs, "");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("[server.tls]"), "{}", ended.stdout);
}

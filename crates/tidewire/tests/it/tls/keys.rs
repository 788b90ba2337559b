//! Private keys: passphrases, forms, and who may read their files.
//!
//! The files in `keys/` hold one key, made by OpenSSL 3 for these tests, in several forms; the
//! passphrase is `qwerty`.

use std::path::{Path, PathBuf};

use rcgen::KeyPair;
use tidewire::tls::{Identity, ServerTls, TlsError};

use super::{
    Authority, Served,
    authority::{set_mode, write_key},
    servers_usage,
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/keys");

/// A certificate for the key of `keys/`, and a copy of one of its forms.
fn files(authority: &Authority, form: &str) -> (PathBuf, PathBuf) {
    let read = |form: &str| std::fs::read_to_string(Path::new(FOLDER).join(form)).unwrap();
    let key = KeyPair::from_pem(&read("plain.pem")).unwrap();
    let (certificate, _plain) = authority.sign_key("server", &servers_usage(), &key);
    let path = authority.path(form);
    write_key(&path, &read(form));
    (certificate, path)
}

fn build(identity: Identity) -> Result<ServerTls, TlsError> {
    ServerTls::builder(identity).build()
}

#[tokio::test]
async fn plain_and_encrypted_keys_are_usable() {
    let authority = Authority::new();
    for form in ["plain.pem", "sec1.pem", "pbkdf2.pem", "scrypt.pem"] {
        let (certificate, key) = files(&authority, form);
        let identity = Identity::from_files(certificate, key).passphrase("qwerty");
        assert!(!format!("{identity:?}").contains("qwerty"));
        let served = Served::start(build(identity).expect(form));
        served
            .connect("localhost", &authority.client())
            .await
            .unwrap();
    }
}

#[test]
fn a_wrong_or_missing_passphrase_is_told() {
    let authority = Authority::new();
    for form in ["pbkdf2.pem", "scrypt.pem"] {
        let (certificate, key) = files(&authority, form);
        let identity = Identity::from_files(certificate, &key);
        let error = build(identity.clone()).unwrap_err();
        assert!(
            matches!(&error, TlsError::PassphraseMissing { path } if *path == key),
            "{error}"
        );
        // The last one leaves valid padding behind when it is tried on `pbkdf2.pem`.
        for wrong in ["", "wrong", "wrong 355"] {
            let error = build(identity.clone().passphrase(wrong)).unwrap_err();
            assert!(
                matches!(&error, TlsError::PassphraseWrong { path } if *path == key),
                "{error}"
            );
        }
    }
}

#[test]
fn an_encryption_of_old_gives_the_command_that_converts_it() {
    let authority = Authority::new();
    for (form, reason) in [
        ("legacy.pem", "legacy encryption"),
        ("pbes1.pem", "not PBES2"),
        ("pbes2_3des.pem", "another cipher than AES"),
    ] {
        let (certificate, key) = files(&authority, form);
        let error =
            build(Identity::from_files(certificate, &key).passphrase("qwerty")).unwrap_err();
        assert!(
            matches!(&error, TlsError::KeyForm { path, .. } if *path == key),
            "{form}: {error}"
        );
        let command = format!("openssl pkcs8 -topk8 -v2 aes-256-cbc -in {}", key.display());
        assert!(error.to_string().contains(&command), "{error}");
        assert!(error.to_string().contains(reason), "{form}: {error}");
    }
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused_with_the_fix() {
    let authority = Authority::new();
    let (certificate, key) = files(&authority, "plain.pem");
    let identity = Identity::from_files(certificate, &key);
    for mode in [0o400, 0o600, 0o440, 0o640] {
        set_mode(&key, mode);
        build(identity.clone()).expect("for the owner and its group");
    }
    for mode in [0o644, 0o604, 0o660, 0o650, 0o602] {
        set_mode(&key, mode);
        let error = build(identity.clone()).unwrap_err();
        assert!(
            matches!(&error, TlsError::KeyExposed { path, mode: found } if *path == key && *found == mode),
            "{mode:o}: {error}"
        );
        let fix = format!("chmod 640 {}", key.display());
        assert!(error.to_string().contains(&fix), "{error}");
        build(identity.clone().danger_allow_exposed_key_file()).expect("told to take it");
    }
}

//! Certificates and keys as they are found on disks.
//!
//! Kinds of key files: mode (0400, 0440, 0600, 0640 are fine; anything for others, or for the group to write, is not
//! unless it is allowed by name), a symbolic link as Kubernetes mounts secrets (what it leads to counts), of another
//! certificate, empty, cut in the middle, encrypted (without, with the wrong, with the right passphrase), EC, RSA and
//! Ed25519, DER and PKCS#12 in place of PEM. Kinds of certificates: expired, not valid yet, about to expire, a chain
//! that is cut, DER. What is refused here `check-config` refuses and `serve` does not start with, with the same words.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use rcgen::{CertificateParams, CertifiedKey, KeyPair};
use tempfile::TempDir;
use tidewire_server::config::Warning;

use crate::{load_text, settings};

/// A directory with a certificate and its key.
struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        Self::of(&made())
    }

    fn of(made: &CertifiedKey<KeyPair>) -> Self {
        let files = Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
        };
        files.write("tls.crt", made.cert.pem());
        files.write("tls.key", made.signing_key.serialize_pem());
        files.chmod("tls.key", 0o600);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("writable");
    }

    fn chmod(&self, name: &str, mode: u32) {
        chmod(&self.path(name), mode);
    }

    /// The table of the file, for the listener `table`.
    fn toml(&self, table: &str, rest: &str) -> String {
        let path = self.directory.path().display();
        format!(
            "[{table}.tls]\nenabled = true\ncertificate = \"{path}/tls.crt\"\nkey = \"{path}/tls.key\"\n{rest}"
        )
    }

    /// Returns what is told although it is allowed.
    fn warnings(&self, rest: &str) -> Vec<String> {
        let settings = settings(&self.toml("server", rest));
        settings.warnings.iter().map(Warning::to_string).collect()
    }

    /// Returns why it is refused.
    fn refusal(&self, rest: &str) -> String {
        let text = self.toml("server", rest);
        load_text(&text).expect_err("refused").to_string()
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
}

fn made() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate")
}

/// Valid from this many days from now to that many.
fn valid(from: i64, to: i64) -> CertifiedKey<KeyPair> {
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let now = std::time::SystemTime::now();
    let day = |days: i64| {
        let time = std::time::Duration::from_secs(days.unsigned_abs() * 86_400);
        let at = if days < 0 { now - time } else { now + time };
        at.into()
    };
    params.not_before = day(from);
    params.not_after = day(to);
    let signing_key = KeyPair::generate().expect("a key");
    let cert = params.self_signed(&signing_key).expect("a certificate");
    CertifiedKey { cert, signing_key }
}

#[test]
fn a_key_that_others_can_read_is_refused_unless_that_is_allowed_by_name() {
    let files = Files::new();
    for mode in [0o400, 0o440, 0o600, 0o640] {
        files.chmod("tls.key", mode);
        assert_eq!(files.warnings(""), [""; 0], "{mode:o}");
    }
    for mode in [0o444, 0o644, 0o604, 0o660, 0o666, 0o750, 0o777] {
        files.chmod("tls.key", mode);
        let refusal = files.refusal("");
        for part in [
            format!("mode {mode:04o}"),
            "server.tls.danger_allow_exposed_key = true".to_owned(),
            "0440".to_owned(),
            "chmod 640".to_owned(),
        ] {
            assert!(refusal.contains(&part), "{mode:o}: {part}: {refusal}");
        }
        let told = files.warnings("danger_allow_exposed_key = true");
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told.concat()
                .starts_with("server.tls.danger_allow_exposed_key is true"),
            "{told:?}"
        );
    }
}

#[test]
fn both_listeners_have_the_key_that_allows_it() {
    let files = Files::new();
    files.chmod("tls.key", 0o444);
    for table in ["server", "rest"] {
        let refused = load_text(&files.toml(table, "")).expect_err("refused");
        let key = format!("{table}.tls.danger_allow_exposed_key");
        assert!(refused.to_string().contains(&key), "{refused}");
        let allowed = settings(&files.toml(table, "danger_allow_exposed_key = true"));
        let told: Vec<String> = allowed.warnings.iter().map(Warning::to_string).collect();
        assert!(told.concat().contains(&key), "{told:?}");
    }
}

/// A volume of Kubernetes: `tls.key` → `..data/tls.key`, `..data` → a folder with a time in its name.
#[test]
fn the_mode_of_what_a_link_leads_to_counts() {
    let files = Files::new();
    let folder = files.path("..2026_11_30");
    fs::create_dir(&folder).expect("new");
    for name in ["tls.crt", "tls.key"] {
        fs::rename(files.path(name), folder.join(name)).expect("movable");
        symlink(Path::new("..data").join(name), files.path(name)).expect("new");
    }
    symlink("..2026_11_30", files.path("..data")).expect("new");
    assert_eq!(files.warnings(""), [""; 0]);
    chmod(&folder.join("tls.key"), 0o644);
    assert!(files.refusal("").contains("mode 0644"));
}

#[test]
fn what_does_not_fit_or_is_not_whole_is_refused_in_words() {
    let whole = made();
    let key = whole.signing_key.serialize_pem();
    let certificate = whole.cert.pem();
    let (key, certificate) = (key.as_bytes(), certificate.as_bytes());
    let other = made().signing_key.serialize_pem();
    for (name, content, word) in [
        (
            "tls.key",
            other.as_bytes(),
            "certificate and key cannot be used",
        ),
        ("tls.key", b"", "a private key"),
        ("tls.key", &key[..key.len() / 2], "a private key"),
        ("tls.key", certificate, "a private key"),
        (
            "tls.key",
            &whole.signing_key.serialize_der(),
            "a key in DER: convert it by `openssl pkey",
        ),
        ("tls.crt", b"", "a certificate"),
        (
            "tls.crt",
            &certificate[..certificate.len() / 2],
            "a certificate",
        ),
        ("tls.crt", key, "a certificate"),
        (
            "tls.crt",
            whole.cert.der(),
            "it is DER: convert it by `openssl x509",
        ),
        (
            "tls.crt",
            b"\x30\x82\x0a\x00\x02\x01\x03\x30",
            "it is PKCS#12: convert it by `openssl pkcs12",
        ),
    ] {
        let files = Files::of(&whole);
        files.write(name, content);
        let refusal = files.refusal("");
        assert!(refusal.contains("server.tls"), "{name}: {refusal}");
        assert!(refusal.contains(word), "{name}: {word}: {refusal}");
    }
}

#[test]
fn keys_of_every_usual_algorithm_are_taken() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ] {
        let signing_key = KeyPair::generate_for(algorithm).expect("a key");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let cert = params.self_signed(&signing_key).expect("a certificate");
        let files = Files::of(&CertifiedKey { cert, signing_key });
        assert_eq!(files.warnings(""), [""; 0]);
    }
}

#[test]
fn a_certificate_outside_of_its_time_is_told_and_served() {
    for (from, to, word) in [
        (
            -10,
            -2,
            Some("has expired 2 days ago: clients will refuse it"),
        ),
        (4, 10, Some("is not valid yet, but in 3 days")),
        (-10, 1, Some("expires in 23 hours")),
        (-10, 30, None),
    ] {
        let told = Files::of(&valid(from, to)).warnings("").concat();
        match word {
            Some(word) => assert!(told.contains(word), "{word}: {told}"),
            None => assert_eq!(told, ""),
        }
    }
}

#[test]
fn an_encrypted_key_opens_by_the_passphrase_in_a_file() {
    const PLAIN: &str = include_str!("../../../tidewire/tests/it/tls/keys/plain.pem");
    const ENCRYPTED: &str = include_str!("../../../tidewire/tests/it/tls/keys/pbkdf2.pem");
    let signing_key = KeyPair::from_pem(PLAIN).expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let cert = params.self_signed(&signing_key).expect("a certificate");
    let files = Files::of(&CertifiedKey { cert, signing_key });
    files.write("tls.key", ENCRYPTED);
    let refusal = files.refusal("");
    let key = "server.tls.key_passphrase_file";
    assert!(refusal.contains(key), "{refusal}");

    let passphrase = files.path("passphrase");
    let named = format!("key_passphrase_file = \"{}\"", passphrase.display());
    let missing = files.refusal(&named);
    assert!(missing.contains(key), "{missing}");
    files.write("passphrase", "wrong\n");
    assert!(files.refusal(&named).contains("does not open"));
    for text in ["qwerty", "qwerty\n", "qwerty\r\n"] {
        files.write("passphrase", text);
        assert_eq!(files.warnings(&named), [""; 0], "{text:?}");
    }
}

//! [`Identity`]: a certificate for `localhost` with its key, made on the spot.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use rcgen::{CertifiedKey, KeyPair};
use tidewire::tls::ClientTls;

/// A certificate that signs itself.
pub(crate) struct Identity(CertifiedKey<KeyPair>);

impl Identity {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        Self(made.expect("a certificate"))
    }

    pub(crate) fn certificate(&self) -> String {
        self.0.cert.pem()
    }

    pub(crate) fn key(&self) -> String {
        self.0.signing_key.serialize_pem()
    }

    /// Writes `tls.crt` and `tls.key` into a directory.
    pub(crate) fn write(&self, directory: &Path) {
        fs::write(directory.join("tls.crt"), self.certificate()).expect("writable");
        let key = directory.join("tls.key");
        fs::write(&key, self.key()).expect("writable");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("ours");
    }

    /// A client that trusts this certificate and no other.
    pub(crate) fn client(&self) -> ClientTls {
        let builder = ClientTls::builder().ca_pem(self.certificate());
        builder.server_name("localhost").build().expect("valid")
    }
}

/// The keys of a table about TLS with the files of `directory`.
pub(crate) fn tls_keys(directory: &Path) -> String {
    let path = directory.display();
    format!("enabled = true\ncertificate = \"{path}/tls.crt\"\nkey = \"{path}/tls.key\"\n")
}

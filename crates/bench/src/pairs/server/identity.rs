//! The certificate that a server shows.

use tidewire::tls::{Identity, ServerTls};

use super::{super::scenario::IdentityFiles, ServeError};

/// TLS with the certificate in these files, or with one that is made now and that nobody can verify.
pub(super) fn tls(files: Option<&IdentityFiles>) -> Result<ServerTls, ServeError> {
    let identity = if let Some(files) = files {
        let identity = Identity::from_files(&files.certificate, &files.key);
        match &files.passphrase {
            Some(passphrase) => identity.passphrase(passphrase),
            None => identity,
        }
    } else {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names)?;
        Identity::from_pem(made.cert.pem(), made.signing_key.serialize_pem())
    };
    Ok(ServerTls::builder(identity).build()?)
}

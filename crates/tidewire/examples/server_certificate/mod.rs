//! The certificate of an example's server.

use std::path::PathBuf;

use tidewire::tls::{Identity, ServerTls, TlsError};

use crate::console::argument;

/// `server.pem`, certificate and key behind the passphrase `qwerty`, as `tidewire certs` makes it, in the folder of the
/// third argument: `certificates` unless it is given.
pub(crate) fn server_tls() -> Result<ServerTls, TlsError> {
    let folder: PathBuf = argument(3, "certificates", PathBuf::from("certificates"));
    let file = folder.join("server.pem");
    let is_encrypted = std::fs::read_to_string(&file).is_ok_and(|pem| pem.contains("ENCRYPTED"));
    let identity = Identity::from_files(&file, &file);
    let identity = if is_encrypted {
        identity.passphrase("qwerty")
    } else {
        identity
    };
    ServerTls::builder(identity).build()
}

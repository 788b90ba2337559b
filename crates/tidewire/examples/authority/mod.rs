//! Whom an example's client trusts.

use std::path::PathBuf;

use tidewire::tls::{ClientTls, TlsError};

use crate::console::argument;

/// `ca.crt`, as `tidewire certs` makes it, in the folder of the third argument: `certificates` unless it is given.
pub(crate) fn client_tls() -> Result<ClientTls, TlsError> {
    let folder: PathBuf = argument(3, "certificates", PathBuf::from("certificates"));
    ClientTls::with_ca(&folder.join("ca.crt"))
}

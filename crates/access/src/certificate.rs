//! The names in a client's certificate.

use tidewire::net::Peer;
use tidewire_auth::CertificatePart;

/// The names of a kind in the certificate that mutual TLS has verified; none without one. Of a certificate whose names
/// cannot be read there are none, which makes its owner nobody.
pub fn certificate_names(peer: &Peer, part: CertificatePart) -> Vec<String> {
    let names = peer.tls.as_ref().and_then(|tls| match tls.names() {
        Ok(names) => names,
        Err(error) => {
            tracing::warn!(%error, "the names of a client's certificate cannot be read");
            None
        }
    });
    let names = names.unwrap_or_default();
    match part {
        CertificatePart::Subject => names.common_name.into_iter().collect(),
        CertificatePart::Dns => names.dns,
        CertificatePart::Uri => names.uris,
        CertificatePart::Email => names.emails,
        _ => Vec::new(),
    }
}

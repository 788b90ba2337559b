//! Whom we trust: certificate authorities and what they have revoked.

use std::sync::Arc;

use rustls::{RootCertStore, pki_types::CertificateRevocationListDer};

use super::{TlsError, source::Source};

/// Revocation lists of one side's authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Revocation {
    pub(super) lists: Vec<Source>,
    /// Let in whose status no current list tells.
    pub(super) unknown_allowed: bool,
}

impl Revocation {
    pub(super) fn load(&self) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
        let mut found = Vec::new();
        for source in &self.lists {
            found.extend(source.revocation_lists()?);
        }
        Ok(found)
    }

    /// The verifier was not built: a list cannot be parsed, or there are no roots.
    pub(super) fn unusable(&self, what: &'static str, cause: impl std::fmt::Display) -> TlsError {
        TlsError::unusable(format!("{what} {:?}", self.lists), cause)
    }
}

/// The authorities in `sources`, added to `store`.
pub(super) fn roots(
    mut store: RootCertStore,
    sources: &[Source],
) -> Result<Arc<RootCertStore>, TlsError> {
    for source in sources {
        for certificate in source.certificates()? {
            store
                .add(certificate)
                .map_err(|cause| TlsError::pem(source.path(), "the certificate of a CA", cause))?;
        }
    }
    Ok(Arc::new(store))
}

/// The authorities the system trusts. Those of unreadable files are left out, and told in the log or, when
/// none is left, in the error.
pub(super) fn system() -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _ignored) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        let reason = found.errors.first().map(ToString::to_string);
        return Err(TlsError::unusable(
            "the system's certificate authorities",
            reason.as_deref().unwrap_or("none found"),
        ));
    }
    for error in &found.errors {
        tracing::warn!(%error, "some of the system's certificate authorities cannot be read");
    }
    Ok(store)
}

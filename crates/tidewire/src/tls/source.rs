//! Where PEM text comes from: a file, read again at every reload, or memory.
//!
//! Out: certificates and revocation lists, or an error that names the file. Invariant: never
//! more than [`BYTES_MAX`] are read, and what was read is wiped after use, since it may be a
//! private key.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, pem, pem::PemObject};
use zeroize::Zeroizing;

use super::TlsError;

/// Largest file that is read. Revocation lists of public CAs have some ten MiB.
const BYTES_MAX: u64 = 64 << 20;

/// PEM text. Files are equal by path.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Source {
    File(PathBuf),
    Memory {
        /// What stands for the path in errors.
        name: &'static str,
        pem: Arc<Zeroizing<Vec<u8>>>,
    },
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().fmt(f)
    }
}

impl Source {
    pub(super) fn memory(name: &'static str, pem: impl Into<Vec<u8>>) -> Self {
        Self::Memory {
            name,
            pem: Arc::new(Zeroizing::new(pem.into())),
        }
    }

    /// The file's path, or the name in its place.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Memory { name, .. } => Path::new(name),
        }
    }

    /// The PEM text. `check` sees the opened file before it is read.
    pub(super) fn read(
        &self,
        expected: &'static str,
        check: impl FnOnce(&Path, &File) -> Result<(), TlsError>,
    ) -> Result<Zeroizing<Vec<u8>>, TlsError> {
        let path = match self {
            Self::Memory { pem, .. } => return Ok(Zeroizing::clone(pem)),
            Self::File(path) => path,
        };
        let error = |cause: io::Error| TlsError::pem(path, expected, cause);
        let file = File::open(path).map_err(error)?;
        check(path, &file)?;
        let len = file.metadata().map_err(error)?.len();
        // Room for all at once: a buffer that grows leaves copies behind that nobody wipes.
        let room = usize::try_from(len.min(BYTES_MAX)).unwrap_or_default() + 1;
        let mut text = Zeroizing::new(Vec::with_capacity(room));
        file.take(BYTES_MAX + 1)
            .read_to_end(&mut text)
            .map_err(error)?;
        if text.len() as u64 > BYTES_MAX {
            return Err(TlsError::pem(path, expected, "larger than 64 MiB"));
        }
        Ok(text)
    }

    /// All certificates, at least one, in the order of the text.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        self.all("a certificate")
    }

    /// All certificate revocation lists, at least one.
    pub(super) fn revocation_lists(
        &self,
    ) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
        self.all("a certificate revocation list")
    }

    fn all<T: PemObject>(&self, expected: &'static str) -> Result<Vec<T>, TlsError> {
        let text = self.read(expected, |_path, _file| Ok(()))?;
        let found: Result<Vec<T>, pem::Error> = T::pem_slice_iter(&text).collect();
        let found = found.map_err(|cause| TlsError::pem(self.path(), expected, cause))?;
        if found.is_empty() {
            let reason = binary_form(&text, self.path());
            let reason = reason.unwrap_or_else(|| "there is none".to_owned());
            return Err(TlsError::pem(self.path(), expected, reason));
        }
        Ok(found)
    }
}

/// Names the binary form of a file that is not PEM, with the command that makes PEM of it; `None` when it is none that
/// we know.
pub(super) fn binary_form(bytes: &[u8], path: &Path) -> Option<String> {
    // All are a DER SEQUENCE (X.690): tag, length in one byte or in as many as its low bits tell, content.
    let [0x30, length, rest @ ..] = bytes else {
        return None;
    };
    let more = if *length < 0x80 { 0 } else { length & 0x7f };
    let content = rest.get(usize::from(more)..)?;
    let (form, command) = match content {
        // PFX (RFC 7292): version 3.
        [0x02, 0x01, 0x03, ..] => ("PKCS#12", "pkcs12 -nodes"),
        // PKCS#1, PKCS#8, SEC1: version 0 or 1.
        [0x02, 0x01, ..] => ("a key in DER", "pkey -inform DER"),
        [0x30, ..] => ("DER", "x509 -inform DER"),
        _ => return None,
    };
    let path = path.display();
    Some(format!(
        "it is {form}: convert it by `openssl {command} -in {path} -out NEW.pem`"
    ))
}

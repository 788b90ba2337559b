//! A private key out of PEM text: who may read its file, the passphrase, the forms we know.
//!
//! PKCS#8 (RFC 5958) plain and encrypted with PBES2 (RFC 8018), PKCS#1 and SEC1. OpenSSL's own
//! encryption from before PKCS#8 derives its key by one round of MD5: it is refused with the
//! command that converts it.

use std::{fs::File, path::Path};

use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, der::Decode};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};

use super::{
    TlsError,
    source::{Source, binary_form},
};

const EXPECTED: &str = "a private key";
const ENCRYPTED_BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const ENCRYPTED_END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// The object identifier of PBES2, 1.2.840.113549.1.5.13, in DER.
const PBES2_OID: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d,
];

/// Permission bits that no key file may have: more than 0640.
#[cfg(unix)]
const EXPOSING_BITS: u32 = 0o037;

/// Reads the first private key of `source`.
pub(super) fn load(
    source: &Source,
    passphrase: Option<&[u8]>,
    exposed_allowed: bool,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = source.read(EXPECTED, |path, file| {
        if exposed_allowed {
            Ok(())
        } else {
            check_mode(path, file)
        }
    })?;
    let path = source.path();
    if let Some(block) = encrypted_block(&text) {
        return decrypt(path, block, passphrase);
    }
    if contains(&text, b"Proc-Type: 4,ENCRYPTED") {
        return Err(convert(path, "a key in OpenSSL's legacy encryption"));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|cause| {
        let form = binary_form(&text, path);
        TlsError::pem(path, EXPECTED, form.unwrap_or_else(|| cause.to_string()))
    })
}

/// The opened file is looked at, not the path: what is checked is what is read.
#[cfg(unix)]
fn check_mode(path: &Path, file: &File) -> Result<(), TlsError> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = file
        .metadata()
        .map_err(|cause| TlsError::pem(path, EXPECTED, cause))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & EXPOSING_BITS == 0 {
        return Ok(());
    }
    Err(TlsError::KeyExposed {
        path: path.into(),
        mode,
    })
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature as on Unix")]
fn check_mode(_path: &Path, _file: &File) -> Result<(), TlsError> {
    Ok(())
}

/// The first encrypted PKCS#8 block, if there is one; the text may hold a chain besides.
fn encrypted_block(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    let (_before, from_begin) = text.split_at_checked(text.find(ENCRYPTED_BEGIN)?)?;
    let len = from_begin.find(ENCRYPTED_END)? + ENCRYPTED_END.len();
    from_begin.get(..len)
}

fn decrypt(
    path: &Path,
    block: &str,
    passphrase: Option<&[u8]>,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let malformed = |cause: pkcs8::der::Error| TlsError::pem(path, EXPECTED, cause);
    let (_label, document) = pkcs8::SecretDocument::from_pem(block).map_err(malformed)?;
    let Ok(info) = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes()) else {
        let reason = if contains(document.as_bytes(), PBES2_OID) {
            "an encryption with another cipher than AES (3DES, perhaps)"
        } else {
            "an encryption that is not PBES2"
        };
        return Err(convert(path, reason));
    };
    let Some(passphrase) = passphrase else {
        return Err(TlsError::PassphraseMissing { path: path.into() });
    };
    // A wrong passphrase gives broken padding, or once in 256 times bytes that are no key.
    match info.decrypt(passphrase) {
        Ok(key) if PrivateKeyInfoRef::try_from(key.as_bytes()).is_ok() => {
            Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
        }
        Err(pkcs8::Error::EncryptedPrivateKey(
            pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. }
            | pkcs8::pkcs5::Error::NoPbes1CryptSupport
            | pkcs8::pkcs5::Error::AlgorithmParametersInvalid { .. },
        )) => Err(convert(path, "an unsupported encryption")),
        Ok(_) | Err(_) => Err(TlsError::PassphraseWrong { path: path.into() }),
    }
}

fn convert(path: &Path, reason: &'static str) -> TlsError {
    TlsError::KeyForm {
        path: path.into(),
        reason,
        command: format!(
            "openssl pkcs8 -topk8 -v2 aes-256-cbc -in {} -out NEW.key",
            path.display()
        ),
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

//! The files: in which forms, for whom to read, and never over those that are there.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};

use anyhow::Context as _;
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};

use super::{issue::Issued, key::Passphrase};
use crate::report::WrongUsage;

/// One file to write.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) purpose: String,
    content: Vec<u8>,
    is_secret: bool,
}

impl File {
    pub(super) fn public(name: String, content: impl Into<Vec<u8>>, purpose: &str) -> Self {
        Self {
            name,
            purpose: purpose.to_owned(),
            content: content.into(),
            is_secret: false,
        }
    }

    pub(super) fn secret(name: String, content: impl Into<Vec<u8>>, purpose: &str) -> Self {
        Self {
            is_secret: true,
            ..Self::public(name, content, purpose)
        }
    }
}

/// The four forms of a certificate with its key.
#[derive(Debug)]
pub(super) struct Forms {
    pub(super) passphrase: Passphrase,
}

impl Forms {
    /// `authority` goes into the .pfx too: what imports it can then build the whole chain.
    pub(super) fn all(
        &self,
        stem: &str,
        issued: &Issued,
        authority: Option<&Issued>,
    ) -> anyhow::Result<Vec<File>> {
        let encrypted = issued.key.to_encrypted_pem(&self.passphrase)?;
        let both = issued.certificate.clone() + &encrypted;
        let store = self.pkcs12(issued, authority);
        let store = store.context("cannot make a PKCS#12 file")?;
        Ok(vec![
            File::public(
                format!("{stem}.crt"),
                issued.certificate.clone(),
                issued.role.what(),
            ),
            File::secret(
                format!("{stem}.key"),
                issued.key.to_pem(),
                "its private key",
            ),
            File::secret(
                format!("{stem}.pfx"),
                store,
                "both, behind the passphrase, in PKCS#12",
            ),
            File::secret(
                format!("{stem}.pem"),
                both,
                "both, the key behind the passphrase",
            ),
        ])
    }

    fn pkcs12(
        &self,
        issued: &Issued,
        authority: Option<&Issued>,
    ) -> Result<Vec<u8>, p12_keystore::error::Error> {
        let key = PrivateKey::from_der(issued.key.pair.serialized_der())?;
        let mut chain = vec![Certificate::from_der(&issued.der)?];
        if let Some(authority) = authority {
            chain.push(Certificate::from_der(&authority.der)?);
        }
        let entry = PrivateKeyChain::new([1].as_slice(), key, chain);
        let mut store = KeyStore::new();
        store.add_entry(&issued.name, KeyStoreEntry::PrivateKeyChain(entry));
        store.writer(&self.passphrase.0).write()
    }
}

/// Writes all files, or none if one is there and it was not said to overwrite.
pub(super) fn write(dir: &Path, files: &[File], is_forced: bool) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let present: Vec<_> = files
        .iter()
        .map(|file| dir.join(&file.name))
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| path.display().to_string())
        .collect();
    if !is_forced && !present.is_empty() {
        let usage = WrongUsage("there are such files already; --force overwrites them");
        return Err(anyhow::anyhow!("{}", present.join("\n")).context(usage));
    }
    for file in files {
        let path = dir.join(&file.name);
        write_one(&path, file, is_forced)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Under another name first: nobody ever sees half a key, nor a key with the mode of the file that it replaces.
fn write_one(path: &Path, file: &File, is_forced: bool) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = Path::new(&name);
    match fs::remove_file(new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(if file.is_secret { 0o600 } else { 0o644 });
    }
    let put = || {
        let mut written = options.open(new)?;
        written.write_all(&file.content)?;
        written.sync_all()?;
        if is_forced {
            return fs::rename(new, path);
        }
        // Unlike a rename it fails if somebody else has put a file there since it was looked for.
        match fs::hard_link(new, path) {
            Ok(()) => fs::remove_file(new),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(error),
            // The file system has no hard links.
            Err(_) => fs::rename(new, path),
        }
    };
    // No key is left behind under a name that nobody looks for.
    put().inspect_err(|_| drop(fs::remove_file(new)))
}

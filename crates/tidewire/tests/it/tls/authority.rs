//! A certificate authority made for one test, and what it signs and revokes, as PEM files.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use tempfile::TempDir;
use tidewire::tls::{ClientTls, Identity, ServerTls};

pub(crate) struct Authority {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

pub(crate) fn servers_usage() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

pub(crate) fn clients_usage() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        // Authorities differ in their names, as in life.
        let name = format!(
            "authority {:?}",
            &rcgen::PublicKeyData::der_bytes(&key)[..8]
        );
        Self::with_key(&name, key)
    }

    /// Nothing but the name is that of another one called so.
    pub(crate) fn called(name: &str) -> Self {
        Self::with_key(name, KeyPair::generate().unwrap())
    }

    fn with_key(name: &str, key: KeyPair) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Signs a certificate with a new key; gives the files `name.pem` and `name.key`.
    pub(crate) fn sign(&self, name: &str, params: &CertificateParams) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        self.sign_key(name, params, &key)
    }

    /// What a server called `host` shows.
    pub(crate) fn server_called(&self, host: &str) -> ServerTls {
        let mut params = servers_usage();
        params.subject_alt_names = CertificateParams::new(vec![host.to_owned()])
            .unwrap()
            .subject_alt_names;
        let identity = self.identity("server", &params);
        ServerTls::builder(identity).build().unwrap()
    }

    pub(crate) fn sign_key(
        &self,
        name: &str,
        params: &CertificateParams,
        key: &KeyPair,
    ) -> (PathBuf, PathBuf) {
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        let paths = (
            self.path(&format!("{name}.pem")),
            self.path(&format!("{name}.key")),
        );
        std::fs::write(&paths.0, certificate.pem()).unwrap();
        write_key(&paths.1, &key.serialize_pem());
        paths
    }

    pub(crate) fn identity(&self, name: &str, params: &CertificateParams) -> Identity {
        let (certificate, key) = self.sign(name, params);
        Identity::from_files(certificate, key)
    }

    /// A server for localhost that verifies no clients.
    pub(crate) fn server(&self) -> ServerTls {
        let identity = self.identity("server", &servers_usage());
        ServerTls::builder(identity).build().unwrap()
    }

    /// A client that trusts this authority and shows nothing.
    pub(crate) fn client(&self) -> ClientTls {
        ClientTls::with_ca(&self.ca()).unwrap()
    }

    /// A client that trusts this authority and shows a certificate of it.
    pub(crate) fn identified(&self, params: &CertificateParams) -> ClientTls {
        ClientTls::builder()
            .ca_file(self.ca())
            .identity(self.identity("client", params))
            .build()
            .unwrap()
    }

    /// Writes a list that revokes `serials` and is to be followed by another until `until_year`.
    pub(crate) fn revoke(&self, serials: &[u64], until_year: i32) -> PathBuf {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(until_year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.path("revoked.pem");
        let list = list.signed_by(&self.issuer).unwrap();
        std::fs::write(&path, list.pem().unwrap()).unwrap();
        path
    }
}

/// Writes a key as it should be: for its owner only.
pub(crate) fn write_key(path: &Path, pem: &str) {
    std::fs::write(path, pem).unwrap();
    set_mode(path, 0o600);
}

#[cfg(unix)]
pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
pub(crate) fn set_mode(_path: &Path, _mode: u32) {}

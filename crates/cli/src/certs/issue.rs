//! Certificates: an authority, a server, a client.

use std::{
    fs,
    net::IpAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PublicKeyData as _, date_time_ymd,
};
use x509_cert::{Certificate, der::Decode as _, ext::pkix};

use super::key::{Algorithm, Key};
use crate::report::WrongUsage;

const DAY: Duration = Duration::from_hours(24);

/// When certificates are valid, from the start of 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    not_before: Duration,
    not_after: Duration,
}

impl Term {
    /// From yesterday on: the clocks of those who verify may be behind.
    pub(super) fn of_days(days: u32) -> anyhow::Result<Self> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.context("the clock of this machine stands before 1970")?;
        Ok(Self {
            not_before: now.saturating_sub(DAY),
            not_after: now + DAY * days,
        })
    }

    /// Cut where the authority's own certificate ends: nobody takes what outlives it.
    fn until(self, not_after: Duration) -> Self {
        Self {
            not_after: self.not_after.min(not_after),
            ..self
        }
    }

    fn put_into(self, params: &mut CertificateParams) {
        let whole_seconds = |since: Duration| Duration::from_secs(since.as_secs());
        params.not_before = date_time_ymd(1970, 1, 1) + whole_seconds(self.not_before);
        params.not_after = date_time_ymd(1970, 1, 1) + whole_seconds(self.not_after);
    }
}

/// For what a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Authority,
    Server,
    Client,
}

impl Role {
    pub(super) const fn what(self) -> &'static str {
        match self {
            Self::Authority => "the authority: what others trust",
            Self::Server => "the server's certificate",
            Self::Client => "the client's certificate",
        }
    }
}

/// A certificate and its key.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) role: Role,
    /// How people and key stores call it.
    pub(super) name: String,
    /// PEM.
    pub(super) certificate: String,
    pub(super) der: Vec<u8>,
    pub(super) key: Key,
}

/// Who signs.
#[derive(Debug)]
pub(super) struct Authority {
    issued: Issued,
    issuer: Issuer<'static, rcgen::KeyPair>,
    /// When its certificate ends, from the start of 1970: what it signs ends no later.
    not_after: Duration,
}

impl Authority {
    pub(super) fn new(name: &str, algorithm: Algorithm, term: Term) -> anyhow::Result<Self> {
        let mut params = params(std::slice::from_ref(&name.to_owned()), false, term)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self::self_signed(Role::Authority, name, params, algorithm)
    }

    /// A server that vouches for itself and, with the same key, for its clients. It is not marked as an authority,
    /// because verifiers do not take one for a server; that its key may sign certificates is said.
    pub(super) fn self_signed_server(
        names: &[String],
        algorithm: Algorithm,
        term: Term,
    ) -> anyhow::Result<Self> {
        let mut params = params(names, true, term)?;
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
        ];
        let name = names.first().map_or("", String::as_str);
        Self::self_signed(Role::Server, name, params, algorithm)
    }

    fn self_signed(
        role: Role,
        name: &str,
        params: CertificateParams,
        algorithm: Algorithm,
    ) -> anyhow::Result<Self> {
        let key = Key::new(algorithm)?;
        let certificate = params.self_signed(&key.pair);
        let certificate = certificate.context("cannot sign a certificate")?;
        let not_after = authority_end(certificate.der(), false)?;
        let issued = Issued::new(role, name, &certificate, key);
        let signing = Key::from_pem(&issued.key.to_pem()).context("cannot use the new key")?;
        let issuer = Issuer::new(params, signing.pair);
        Ok(Self {
            issued,
            issuer,
            not_after,
        })
    }

    /// The one in these files.
    pub(super) fn load(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let read = |path: &Path| {
            fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))
                .context(WrongUsage("there is no authority to sign with"))
        };
        let unusable = |path: &Path| format!("cannot use {}", path.display());
        let pem = read(certificate)?;
        let text = read(key)?;
        let both =
            || -> Result<_, rcgen::Error> { Ok((Key::from_pem(&text)?, Key::from_pem(&text)?)) };
        let (key, signing) = both().with_context(|| unusable(key))?;
        let der = der_of(&pem).with_context(|| unusable(certificate))?;
        let not_after = authority_end(&der, true)?;
        let public = key.pair.subject_public_key_info();
        if !der.windows(public.len()).any(|it| it == public) {
            bail!(WrongUsage("ca.key is not the key of ca.crt"));
        }
        let issuer = Issuer::from_ca_cert_pem(&pem, signing.pair);
        let issuer = issuer.with_context(|| unusable(certificate))?;
        let issued = Issued {
            role: Role::Authority,
            name: "ca".to_owned(),
            certificate: pem,
            der,
            key,
        };
        Ok(Self {
            issued,
            issuer,
            not_after,
        })
    }

    pub(super) fn issued(&self) -> &Issued {
        &self.issued
    }

    pub(super) fn server(
        &self,
        names: &[String],
        algorithm: Algorithm,
        term: Term,
    ) -> anyhow::Result<Issued> {
        let mut params = params(names, true, term.until(self.not_after))?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(Role::Server, names, params, algorithm)
    }

    pub(super) fn client(
        &self,
        names: &[String],
        algorithm: Algorithm,
        term: Term,
    ) -> anyhow::Result<Issued> {
        // Whom it is for is up to who reads it: a name need not be one of a host.
        let mut params = params(names, false, term.until(self.not_after))?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(Role::Client, names, params, algorithm)
    }

    fn sign(
        &self,
        role: Role,
        names: &[String],
        mut params: CertificateParams,
        algorithm: Algorithm,
    ) -> anyhow::Result<Issued> {
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if algorithm == Algorithm::Rsa4096 {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        let key = Key::new(algorithm)?;
        let certificate = params.signed_by(&key.pair, &self.issuer);
        let certificate = certificate.context("cannot sign a certificate")?;
        let name = names.first().map_or("", String::as_str);
        Ok(Issued::new(role, name, &certificate, key))
    }
}

impl Issued {
    fn new(role: Role, name: &str, certificate: &rcgen::Certificate, key: Key) -> Self {
        Self {
            role,
            name: name.to_owned(),
            certificate: certificate.pem(),
            der: certificate.der().to_vec(),
            key,
        }
    }
}

/// RFC 5280, appendix A.1: `ub-common-name`.
const COMMON_NAME_BYTES_MAX: usize = 64;

/// The first name is the common name too. Serial numbers are random: browsers refuse a second certificate with the
/// issuer and number of one they have seen.
fn params(names: &[String], are_hosts: bool, term: Term) -> anyhow::Result<CertificateParams> {
    let (hosts, others): (Vec<_>, Vec<_>) = names.iter().cloned().partition(|name| is_host(name));
    if are_hosts && let Some(other) = others.first() {
        let usage = WrongUsage("the name of a server is that of a host, or an address");
        return Err(anyhow::anyhow!("got {other:?}").context(usage));
    }
    if let Some(other) = names.iter().skip(1).find(|name| others.contains(name)) {
        let usage = WrongUsage("only the first name of a client may be none of a host");
        return Err(anyhow::anyhow!("got {other:?}").context(usage));
    }
    let mut params = CertificateParams::new(hosts).context("cannot use these names")?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    // Hosts stand in the alternative names; one that is too long for a common name does without.
    match names.first() {
        Some(first) if first.len() <= COMMON_NAME_BYTES_MAX => {
            params
                .distinguished_name
                .push(DnType::CommonName, first.as_str());
        }
        Some(first) if !is_host(first) => {
            let usage = WrongUsage("a name that is none of a host has at most 64 bytes");
            return Err(anyhow::anyhow!("got {first:?}").context(usage));
        }
        Some(_) | None => {}
    }
    term.put_into(&mut params);
    Ok(params)
}

fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_')
    };
    let bare = name.strip_prefix("*.").unwrap_or(name);
    name.parse::<IpAddr>().is_ok() || bare.split('.').all(is_label)
}

/// Returns when a certificate ends, from the start of 1970; with `must_be_marked` it has to be that of an authority.
fn authority_end(der: &[u8], must_be_marked: bool) -> anyhow::Result<Duration> {
    let certificate = Certificate::from_der(der).context("cannot read ca.crt")?;
    let content = certificate.tbs_certificate();
    let constraints = content.get_extension::<pkix::BasicConstraints>();
    let constraints = constraints.context("cannot read ca.crt")?;
    if must_be_marked && !constraints.is_some_and(|(_critical, it)| it.ca) {
        bail!(WrongUsage("ca.crt is not the certificate of an authority"));
    }
    Ok(content.validity().not_after.to_unix_duration())
}

fn der_of(pem: &str) -> anyhow::Result<Vec<u8>> {
    let (label, document) =
        pkcs8::Document::from_pem(pem).map_err(|error| anyhow::anyhow!("{error}"))?;
    anyhow::ensure!(
        label == "CERTIFICATE",
        "expected a certificate, found {label}"
    );
    Ok(document.as_bytes().to_vec())
}

//! Contents of certificates: the peer's, in a handshake, and how long one is valid.

use std::time::SystemTime;

use rustls::{CommonState, ProtocolVersion};
use x509_cert::{
    Certificate,
    der::{self, Decode},
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use super::{TlsError, TlsVersion};

/// What a TLS handshake agreed on and told about the peer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsPeer {
    /// The version in use.
    pub version: TlsVersion,
    /// The cipher suite in use, by its IANA name.
    pub cipher_suite: &'static str,
    /// The application protocol agreed on (ALPN); `None` when the client offered none.
    pub alpn: Option<Vec<u8>>,
    /// The host name the client asked for (SNI); `None` when it asked for an IP address.
    pub server_name: Option<String>,
    /// The peer's verified certificate chain, DER, end entity first. Empty when the peer had to
    /// show none (a client without mutual TLS) and when nothing was verified.
    pub certificates: Vec<Vec<u8>>,
}

/// The names in a verified certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateNames {
    /// The subject's first common name. Not an identity by itself: prefer the others.
    pub common_name: Option<String>,
    /// Alternative names of type DNS; may have a wildcard.
    pub dns: Vec<String>,
    /// Alternative names of type URI, such as SPIFFE ids.
    pub uris: Vec<String>,
    /// Alternative names of type e-mail address.
    pub emails: Vec<String>,
}

/// The time for which a certificate is meant (RFC 5280, 4.1.2.5). Outside of it peers refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Validity {
    /// Its first moment.
    pub not_before: SystemTime,
    /// Its last moment.
    pub not_after: SystemTime,
}

impl Validity {
    pub(super) fn of(certificate: &[u8]) -> der::Result<Self> {
        let certificate = Certificate::from_der(certificate)?;
        let validity = certificate.tbs_certificate().validity();
        Ok(Self {
            not_before: validity.not_before.to_system_time(),
            not_after: validity.not_after.to_system_time(),
        })
    }
}

impl TlsPeer {
    pub(super) fn new(state: &CommonState, server_name: Option<String>, verified: bool) -> Self {
        let chain = if verified {
            state.peer_certificates().unwrap_or_default()
        } else {
            &[]
        };
        Self {
            version: if state.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
                TlsVersion::V1_3
            } else {
                TlsVersion::V1_2
            },
            cipher_suite: state
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or("unknown"),
            alpn: state.alpn_protocol().map(<[u8]>::to_vec),
            server_name,
            certificates: chain.iter().map(|found| found.to_vec()).collect(),
        }
    }

    /// The names in the peer's own certificate; `None` when it showed none. Parsed at every
    /// call.
    ///
    /// # Errors
    /// [`TlsError::Unusable`], when the certificate was verified and its names are malformed all
    /// the same: treat the peer as nobody.
    pub fn names(&self) -> Result<Option<CertificateNames>, TlsError> {
        let Some(end_entity) = self.certificates.first() else {
            return Ok(None);
        };
        names(end_entity)
            .map(Some)
            .map_err(|cause| TlsError::unusable("the peer's certificate", cause))
    }
}

fn names(end_entity: &[u8]) -> der::Result<CertificateNames> {
    let certificate = Certificate::from_der(end_entity)?;
    let content = certificate.tbs_certificate();
    let common_name = content.subject().common_name()?;
    let mut names = CertificateNames {
        common_name: common_name.map(|name| name.value().into_owned()),
        ..CertificateNames::default()
    };
    let Some((_critical, SubjectAltName(found))) = content.get_extension()? else {
        return Ok(names);
    };
    for name in found {
        match name {
            GeneralName::DnsName(name) => names.dns.push(name.to_string()),
            GeneralName::UniformResourceIdentifier(name) => names.uris.push(name.to_string()),
            GeneralName::Rfc822Name(name) => names.emails.push(name.to_string()),
            GeneralName::OtherName(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EdiPartyName(_)
            | GeneralName::IpAddress(_)
            | GeneralName::RegisteredId(_) => {}
        }
    }
    Ok(names)
}

//! What rustls reports, in words.
//!
//! In: an error of a handshake. Out: the same error, whose text names what a certificate lacks where
//! rustls prints the names of its enums. Invariant: the original error stays inside, so that
//! [`is_permanent`](super::is_permanent) can ask for it; it is in no public signature.

use std::{error::Error, fmt, io};

use rustls::{AlertDescription, CertificateError, Error as Rustls};

/// A rustls error that prints as words. The advice about it is its cause: whoever prints the chain of
/// causes tells it last.
#[derive(Debug)]
pub(super) struct Explained {
    pub(super) error: Rustls,
    advice: Option<Advice>,
}

impl From<Rustls> for Explained {
    fn from(error: Rustls) -> Self {
        let advice = None;
        Self { error, advice }
    }
}

impl Error for Explained {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let advice = self.advice.as_ref()?;
        Some(advice)
    }
}

/// Advice for a client about a failed handshake.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
struct Advice(&'static str);

/// The server's certificate was signed by its own key, and is not among the trusted ones.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it is signed by itself and not trusted")]
pub(super) struct SelfSigned;

impl fmt::Display for Explained {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "an open enum of another crate, whose other messages are words already"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Rustls::InvalidCertificate(reason) => {
                f.write_str("the peer's certificate is not accepted: ")?;
                certificate(reason, f)
            }
            Rustls::AlertReceived(alert) => {
                let alert = words(&format!("{alert:?}"));
                write!(f, "the peer ended the handshake: {alert}")
            }
            Rustls::PeerIncompatible(reason) => {
                let reason = words(&format!("{reason:?}"));
                write!(f, "the peer cannot do what is needed: {reason}")
            }
            Rustls::PeerMisbehaved(reason) => {
                let reason = words(&format!("{reason:?}"));
                write!(f, "the peer broke the protocol: {reason}")
            }
            Rustls::InvalidCertRevocationList(reason) => {
                let reason = words(&format!("{reason:?}"));
                write!(f, "a revocation list is not accepted: {reason}")
            }
            Rustls::InconsistentKeys(_) => {
                f.write_str("the private key does not belong to the certificate")
            }
            other => other.fmt(f),
        }
    }
}

/// Writes what is wrong with a certificate.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an open enum of another crate, whose other variants print their names"
)]
fn certificate(reason: &CertificateError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let text = match reason {
        CertificateError::BadEncoding => "it is malformed",
        CertificateError::Expired => "it has expired",
        CertificateError::NotValidYet => "it is not valid yet",
        CertificateError::Revoked => "it was revoked",
        CertificateError::UnhandledCriticalExtension => {
            "it has a critical extension that is not known"
        }
        CertificateError::UnknownIssuer => "it comes from an authority that is not trusted",
        CertificateError::UnknownRevocationStatus => "no revocation list tells its status",
        CertificateError::ExpiredRevocationList => "the revocation list has expired",
        CertificateError::BadSignature => "a signature of its issuer or its key is wrong",
        CertificateError::NotValidForName => "it is for another name",
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let expected = expected.to_str();
            if presented.is_empty() {
                return write!(f, "it names nobody in subjectAltName, expected {expected}");
            }
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            return write!(f, "it is for {}, expected {expected}", names.join(", "));
        }
        CertificateError::ExpiredContext { time, not_after } => {
            let ago = time.as_secs().saturating_sub(not_after.as_secs());
            return write!(f, "it has expired {} ago", span(ago));
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            let wait = not_before.as_secs().saturating_sub(time.as_secs());
            return write!(f, "it is valid only in {}", span(wait));
        }
        CertificateError::ExpiredRevocationListContext { time, next_update } => {
            let ago = time.as_secs().saturating_sub(next_update.as_secs());
            return write!(f, "its revocation list has expired {} ago", span(ago));
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its signature algorithm is not supported"
        }
        CertificateError::InvalidPurpose => "it is for another purpose",
        CertificateError::InvalidOcspResponse => "its OCSP response is invalid",
        CertificateError::Other(other) => return webpki(&other.to_string(), f),
        other => return f.write_str(&words_unless_text(&other.to_string())),
    };
    f.write_str(text)
}

/// `DnsName("a.example")` → `a.example`.
fn bare(presented: &str) -> &str {
    let inner = presented
        .split_once('(')
        .and_then(|(_kind, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(presented).trim_matches('"')
}

/// Seconds in the largest unit of which there are two.
fn span(seconds: u64) -> String {
    match seconds {
        0..7200 => format!("{seconds} seconds"),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Writes the reason of a verifier's error, of which the name is all that it prints.
fn webpki(name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match name {
        "CaUsedAsEndEntity" => f.write_str(
            "it is the certificate of an authority (basicConstraints CA:TRUE), expected one of a \
             server or client (CA:FALSE)",
        ),
        "EndEntityUsedAsCa" => f.write_str("it was signed by a certificate that is no authority's"),
        "UnsupportedCertVersion" => {
            f.write_str("it is of an old version, expected X.509 version 3")
        }
        name => f.write_str(&words_unless_text(name)),
    }
}

fn words_unless_text(text: &str) -> String {
    let is_name = text.chars().all(|c| c.is_ascii_alphanumeric());
    if is_name {
        words(text)
    } else {
        text.to_owned()
    }
}

/// `HandshakeFailure` → `handshake failure`.
fn words(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    let mut before = ' ';
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            if before.is_ascii_lowercase() || before.is_ascii_digit() {
                out.push(' ');
            }
            out.push(c.to_ascii_lowercase());
        } else {
            out.push(c);
        }
        before = c;
    }
    out
}

/// The same error in words, if it is one of rustls.
pub(super) fn in_words(error: io::Error) -> io::Error {
    let kind = error.kind();
    match error.downcast::<Rustls>() {
        Ok(error) => io::Error::new(kind, Explained::from(error)),
        Err(error) => error,
    }
}

/// As [`in_words`], of a client's connection: with what can be done about it.
pub(super) fn in_words_for_client(error: io::Error) -> io::Error {
    let kind = error.kind();
    match error.downcast::<Rustls>() {
        Ok(error) => {
            let advice = advice(&error).map(Advice);
            io::Error::new(kind, Explained { error, advice })
        }
        // How tokio-rustls puts it, without an error of rustls.
        Err(_) if kind == io::ErrorKind::UnexpectedEof => io::Error::new(
            kind,
            "the server ended the connection instead of answering: servers do so where they expect no \
             TLS (then connect to ws:// instead of wss://), or when they are overloaded",
        ),
        Err(error) => error,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "open enums of another crate; about most of their errors a client can do nothing"
)]
fn advice(error: &Rustls) -> Option<&'static str> {
    Some(match error {
        Rustls::InvalidCertificate(reason) => match reason {
            CertificateError::UnknownIssuer => {
                "add the authority's certificate to those that are trusted, or have the server send \
                 the certificates between its own and the authority's"
            }
            CertificateError::Other(other) if other.0.is::<SelfSigned>() => {
                "add this certificate to those that are trusted, or give the server one of an authority"
            }
            // Of a crate that is not named here; its name is all that it prints.
            CertificateError::Other(other) if other.to_string() == "UnsupportedCertVersion" => {
                "make a certificate of version 3, as `tidewire certs` does; openssl x509 does with extensions (-extfile)"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "connect by a name that the certificate has, or set that name as the one to verify"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "renew the server's certificate, or set this machine's clock if that is wrong"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "set this machine's clock if that is wrong"
            }
            _ => return None,
        },
        Rustls::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => {
                "the server lets in clients with a certificate only: show one (mutual TLS)"
            }
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied => {
                "the server does not accept this client's certificate"
            }
            AlertDescription::UnrecognisedName => "the server serves no host of this name",
            AlertDescription::NoApplicationProtocol => {
                "the server speaks none of the application protocols that were offered (ALPN)"
            }
            AlertDescription::ProtocolVersion => {
                "the server speaks no version of TLS that this client allows"
            }
            _ => return None,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use rustls::{InconsistentKeys, OtherError, PeerIncompatible, pki_types::UnixTime};

    use super::*;

    #[derive(Debug)]
    struct Named(&'static str);

    impl Error for Named {}

    impl fmt::Display for Named {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    fn check(error: impl Into<Rustls>, expected: &str) {
        let error = in_words(io::Error::new(io::ErrorKind::InvalidData, error.into()));
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn what_a_certificate_lacks_is_told_in_words() {
        let prefix = "the peer's certificate is not accepted: ";
        for (reason, expected) in [
            (
                CertificateError::UnknownIssuer,
                "it comes from an authority that is not trusted",
            ),
            (
                CertificateError::ApplicationVerificationFailure,
                "application verification failure",
            ),
            (
                CertificateError::ExpiredContext {
                    time: UnixTime::since_unix_epoch(Duration::from_hours(60)),
                    not_after: UnixTime::since_unix_epoch(Duration::from_hours(10)),
                },
                "it has expired 2 days ago",
            ),
            (
                CertificateError::NotValidForNameContext {
                    expected: "a.example".try_into().unwrap(),
                    presented: vec![
                        "DnsName(\"b.example\")".to_owned(),
                        "IpAddress(192.0.2.1)".to_owned(),
                    ],
                },
                "it is for b.example, 192.0.2.1, expected a.example",
            ),
        ] {
            check(reason, &format!("{prefix}{expected}"));
        }
        for (name, expected) in [
            (
                "CaUsedAsEndEntity",
                "it is the certificate of an authority (basicConstraints CA:TRUE), expected one of a server or client (CA:FALSE)",
            ),
            (
                "UnsupportedCertVersion",
                "it is of an old version, expected X.509 version 3",
            ),
            ("PathLenConstraintViolated", "path len constraint violated"),
            ("a text of its own", "a text of its own"),
        ] {
            let other = CertificateError::Other(OtherError(Arc::new(Named(name))));
            check(other, &format!("{prefix}{expected}"));
        }
        let other = OtherError(Arc::new(Named("UnsupportedCertVersion")));
        let advice = advice(&CertificateError::Other(other).into()).unwrap();
        assert!(advice.contains("tidewire certs"), "{advice}");
    }

    #[test]
    fn alerts_and_other_names_are_told_in_words() {
        check(
            Rustls::AlertReceived(AlertDescription::CertificateRequired),
            "the peer ended the handshake: certificate required",
        );
        check(
            PeerIncompatible::NoCipherSuitesInCommon,
            "the peer cannot do what is needed: no cipher suites in common",
        );
        check(
            InconsistentKeys::KeyMismatch,
            "the private key does not belong to the certificate",
        );
        check(Rustls::NoCertificatesPresented, "peer sent no certificates");
    }

    #[test]
    fn other_errors_stay_what_they_are() {
        let error = in_words(io::ErrorKind::ConnectionReset.into());
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}

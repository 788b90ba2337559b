//! TLS 1.2 and 1.3 for servers and clients: certificates from PEM files, mutual TLS, reload.
//!
//! Three modes, chosen by name: plain (no TLS at all); *mutual*
//! ([`ServerTlsBuilder::client_ca_file`]), where both sides verify each other; and *encrypted,
//! unauthenticated* ([`ClientTls::danger_unverified`], `Identity::danger_self_signed`), for which
//! no certificates are needed and nobody knows to whom he talks. Usual TLS, where only the client
//! verifies, lies between.
//!
//! ```no_run
//! use std::time::Duration;
//! use tidewire::tls::{Identity, ServerTls, TlsVersion};
//! use tidewire::ws::{Server, ServerConfig, WebSocket};
//!
//! # fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let identity = Identity::from_files("server.pem", "server.key").passphrase("…");
//! let tls = ServerTls::builder(identity)
//!     .client_ca_file("clients-ca.pem") // mutual TLS
//!     .crl_file("revoked.pem")
//!     .min_version(TlsVersion::V1_3)
//!     .reload_every(Duration::from_secs(60))
//!     .build()?;
//! let mut config = ServerConfig::new("[::]:8443".parse()?);
//! config.tls = Some(tls);
//! let server = Server::new(config)
//!     .route("/in", |mut socket: WebSocket| async move {
//!         let tls = socket.peer().tls.as_deref();
//!         let Some(Ok(Some(names))) = tls.map(|tls| tls.names()) else { return };
//!         while let Ok(Some(message)) = socket.recv().await {
//!             println!("{:?}: {message:?}", names.dns);
//!         }
//!     })
//!     .start()?;
//! # Ok(()) }
//! ```
//!
//! The crypto provider is chosen here, so nothing depends on what the process installed
//! globally and nothing panics at run time.

mod error; // which file, what it should hold, what is wrong
mod explain; // what the TLS library reports, in words
mod source; // PEM text from files or memory
mod private_key; // modes, passphrases, forms
mod identity; // who we are
mod trust; // authorities and revocation lists
mod verified; // who is trusted, and what is told of the others
mod unverified; // everybody is trusted
mod reload; // a configuration that follows its files
mod peer; // what certificates tell
mod server; // our certificate, whose clients are let in
mod client; // whom to trust, who we are
mod client_hello; // names that are none
mod transcript; // hashes over what was sent
mod system; // the system's authorities, read once
mod stream; // the bytes inside

use std::sync::Arc;

use rustls::{
    SupportedProtocolVersion,
    crypto::CryptoProvider,
    version::{TLS12, TLS13},
};

use self::explain::{Explained, SelfSigned};
pub(crate) use client::HandshakeFailure;
pub use client::{ClientTls, ClientTlsBuilder};
pub use error::TlsError;
pub use identity::Identity;
pub use peer::{CertificateNames, TlsPeer, Validity};
pub use reload::Adopted;
pub use server::{ServerTls, ServerTlsBuilder};
pub use stream::TlsStream;

/// A version of TLS; older ones cannot be spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), with forward secrecy and authenticated encryption only.
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

impl TlsVersion {
    fn and_above(self) -> &'static [&'static SupportedProtocolVersion] {
        static FROM_1_2: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        static FROM_1_3: [&SupportedProtocolVersion; 1] = [&TLS13];
        match self {
            Self::V1_2 => &FROM_1_2,
            Self::V1_3 => &FROM_1_3,
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The application protocols (ALPN) where none were set.
fn usual_alpn() -> Vec<Vec<u8>> {
    vec![b"http/1.1".to_vec()]
}

fn is_self_signed(reason: &rustls::CertificateError) -> bool {
    if let rustls::CertificateError::Other(other) = reason {
        other.0.is::<SelfSigned>()
    } else {
        false
    }
}

/// Whether a handshake that failed so would fail again: the server's certificate is for another
/// name or of an authority that is not trusted, or the name is none TLS can use.
pub(crate) fn is_permanent(error: &std::io::Error) -> bool {
    use rustls::{CertificateError, Error, pki_types::InvalidDnsNameError};
    let Some(cause) = error.get_ref() else {
        return false;
    };
    match cause
        .downcast_ref()
        .map(|explained: &Explained| &explained.error)
    {
        Some(Error::InvalidCertificate(reason)) => {
            matches!(
                reason,
                CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. }
                    | CertificateError::UnknownIssuer
            ) || is_self_signed(reason)
        }
        Some(_) => false,
        None => cause.is::<InvalidDnsNameError>(),
    }
}

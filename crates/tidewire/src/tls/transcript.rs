//! Hashes and signatures over a handshake whose first message was changed on its way to rustls
//! ([`client_hello`](super::client_hello)): they are taken over what the client sent.

use std::sync::{Arc, LazyLock};

use rustls::{
    CipherSuiteCommon, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite,
    client::danger::HandshakeSignatureValid,
    crypto::{
        CryptoProvider,
        hash::{Context, Hash, HashAlgorithm, Output},
    },
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use super::client_hello::as_sent;

/// The provider for a handshake whose first message was changed: ring's, which hashes messages as they were sent.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let mut provider = rustls::crypto::ring::default_provider();
        for suite in &mut provider.cipher_suites {
            *suite = as_sent_suite(*suite);
        }
        Arc::new(provider)
    });
    Arc::clone(&PROVIDER)
}

/// Made once for the process, and never dropped: rustls keeps suites by reference.
fn as_sent_suite(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    let common = |common: &CipherSuiteCommon| CipherSuiteCommon {
        suite: common.suite,
        hash_provider: Box::leak(Box::new(AsSent(common.hash_provider))),
        confidentiality_limit: common.confidentiality_limit,
    };
    match suite {
        SupportedCipherSuite::Tls12(suite) => {
            SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
                common: common(&suite.common),
                ..*suite
            })))
        }
        SupportedCipherSuite::Tls13(suite) => {
            SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
                common: common(&suite.common),
                ..*suite
            })))
        }
    }
}

/// A hash function of messages as they were sent.
struct AsSent(&'static dyn Hash);

impl Hash for AsSent {
    fn start(&self) -> Box<dyn Context> {
        Box::new(AsSentContext(self.0.start()))
    }

    fn hash(&self, data: &[u8]) -> Output {
        let mut context = self.start();
        context.update(data);
        context.finish()
    }

    fn output_len(&self) -> usize {
        self.0.output_len()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.0.algorithm()
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

struct AsSentContext(Box<dyn Context>);

impl Context for AsSentContext {
    fn fork_finish(&self) -> Output {
        self.0.fork_finish()
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Self(self.0.fork()))
    }

    fn finish(self: Box<Self>) -> Output {
        self.0.finish()
    }

    /// Each call has whole messages, of which a client's hello is the first.
    fn update(&mut self, data: &[u8]) {
        match as_sent(data) {
            None => self.0.update(data),
            Some(parts) => parts.into_iter().for_each(|part| self.0.update(part)),
        }
    }
}

/// A verifier of clients' certificates whose signatures in TLS 1.2 are over all messages (in TLS 1.3, over a hash).
#[derive(Debug)]
pub(super) struct AsSentVerifier(pub(super) Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AsSentVerifier {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match as_sent(message) {
            None => self.0.verify_tls12_signature(message, cert, dss),
            Some(parts) => self.0.verify_tls12_signature(&parts.concat(), cert, dss),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

//! The signature of a request, as in the Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`.
//!
//! Each key makes one signature, so that a receiver can change from one key to another while both are sent.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;
use tidewire_auth::Secret;

/// Signs what is sent.
#[derive(Clone)]
pub(crate) struct Signer {
    keys: Vec<hmac::Key>,
}

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at least 24 bytes: any text, or whsec_ and base64")]
pub(crate) struct KeyError;

impl Signer {
    /// Keys as the operator has them: `whsec_` and base64, or any text, whose bytes are the key.
    pub(crate) fn new(keys: &[Secret]) -> Result<Self, KeyError> {
        let keys = keys.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { keys })
    }

    /// Returns whether there is a key to sign with.
    pub(crate) fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The value of `webhook-signature`: a signature per key, the first key's first.
    pub(crate) fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let head = format!("{id}.{seconds}.");
        let mut value = String::new();
        for key in &self.keys {
            let mut context = hmac::Context::with_key(key);
            context.update(head.as_bytes());
            context.update(body);
            if !value.is_empty() {
                value.push(' ');
            }
            value.push_str("v1,");
            STANDARD.encode_string(context.sign().as_ref(), &mut value);
        }
        value
    }
}

fn key(secret: &Secret) -> Result<hmac::Key, KeyError> {
    let text = secret.expose();
    let decoded = match text.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).map_err(|_| KeyError)?,
        None => text.as_bytes().to_vec(),
    };
    if decoded.len() < KEY_BYTES_MIN {
        return Err(KeyError);
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &decoded))
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

/// The least that the Standard Webhooks ask for.
const KEY_BYTES_MIN: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(keys: &[&str]) -> Result<Signer, KeyError> {
        let keys: Vec<Secret> = keys.iter().map(|key| Secret::from(*key)).collect();
        Signer::new(&keys)
    }

    /// The vector of the Standard Webhooks' own libraries.
    #[test]
    fn a_signature_is_that_of_the_standard_webhooks() {
        let signer = signer(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).unwrap();
        let signed = signer.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_key_signs_and_a_short_one_is_none() {
        let long = "0123456789abcdef0123456789abcdef";
        let both = signer(&[long, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).unwrap();
        let signed = both.sign("a", 1, b"b");
        assert_eq!(signed.split(' ').count(), 2, "{signed}");
        assert!(signer(&["short"]).is_err());
        assert!(signer(&["whsec_!"]).is_err());
        assert!(!signer(&[]).unwrap().has_keys());
    }
}

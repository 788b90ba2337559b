//! The TLVs of version 2, section 2.2.1 and following: one block of bytes, checked once, read
//! in place. Types that are not known here are kept for the application.

use bytes::{BufMut, Bytes, BytesMut};

use super::{EncodeError, HeaderError, checksum::crc32c};

/// All TLVs of a header, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tlvs {
    bytes: Bytes,
}

/// One TLV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// The type; constants of [`Tlvs`] name the specified ones.
    pub kind: u8,
    /// The value.
    pub value: &'a [u8],
}

/// The balancer's report about the client's TLS (section 2.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ssl<'a> {
    client: u8,
    verify: u32,
    parts: &'a [u8],
}

impl Tlvs {
    /// The negotiated application protocol.
    pub const ALPN: u8 = 0x01;
    /// The host name the client named (SNI).
    pub const AUTHORITY: u8 = 0x02;
    /// A checksum over the header.
    pub const CRC32C: u8 = 0x03;
    /// Padding.
    pub const NOOP: u8 = 0x04;
    /// The balancer's id of the connection.
    pub const UNIQUE_ID: u8 = 0x05;
    /// About TLS.
    pub const SSL: u8 = 0x20;
    /// The name of a network namespace.
    pub const NETNS: u8 = 0x30;

    /// Adds a TLV at the end.
    ///
    /// # Errors
    /// [`EncodeError`] for a value above 65535 bytes.
    pub fn push(&mut self, kind: u8, value: &[u8]) -> Result<(), EncodeError> {
        let len = u16::try_from(value.len()).map_err(|_| EncodeError)?;
        let mut bytes = BytesMut::from(&*self.bytes);
        bytes.put_u8(kind);
        bytes.put_u16(len);
        bytes.put_slice(value);
        self.bytes = bytes.freeze();
        Ok(())
    }

    /// All TLVs but padding.
    pub fn iter(&self) -> impl Iterator<Item = Tlv<'_>> {
        Items(&self.bytes)
            .flatten()
            .filter(|tlv| tlv.kind != Self::NOOP)
    }

    /// The value of the first TLV of this type.
    pub fn value(&self, kind: u8) -> Option<&[u8]> {
        self.iter()
            .find(|tlv| tlv.kind == kind)
            .map(|tlv| tlv.value)
    }

    /// The application protocol that the client and the balancer agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.value(Self::ALPN)
    }

    /// The host name the client asked for (SNI); `None` as well if it is no UTF-8.
    pub fn authority(&self) -> Option<&str> {
        std::str::from_utf8(self.value(Self::AUTHORITY)?).ok()
    }

    /// The balancer's id of the connection, opaque.
    pub fn unique_id(&self) -> Option<&[u8]> {
        self.value(Self::UNIQUE_ID)
    }

    /// About the client's TLS.
    pub fn ssl(&self) -> Option<Ssl<'_>> {
        ssl(self.value(Self::SSL)?)
    }
}

impl<'a> Ssl<'a> {
    const OVER_TLS: u8 = 1;
    const CERTIFICATE: u8 = 2 | 4;
    const VERSION: u8 = 0x21;
    const COMMON_NAME: u8 = 0x22;
    const CIPHER: u8 = 0x23;

    /// Returns whether the client connected over TLS.
    pub fn over_tls(&self) -> bool {
        self.client & Self::OVER_TLS != 0
    }

    /// Returns whether the client showed a certificate, in this connection or in the session it
    /// resumes, and the balancer found it valid.
    pub fn certificate_verified(&self) -> bool {
        self.client & Self::CERTIFICATE != 0 && self.verify == 0
    }

    /// The common name of the client's certificate. Means nothing unless
    /// [`certificate_verified`](Self::certificate_verified).
    pub fn common_name(&self) -> Option<&'a str> {
        self.text(Self::COMMON_NAME)
    }

    /// The TLS version, as `TLSv1.3`.
    pub fn version(&self) -> Option<&'a str> {
        self.text(Self::VERSION)
    }

    /// The cipher suite.
    pub fn cipher(&self) -> Option<&'a str> {
        self.text(Self::CIPHER)
    }

    fn text(&self, kind: u8) -> Option<&'a str> {
        let part = Items(self.parts).flatten().find(|tlv| tlv.kind == kind)?;
        std::str::from_utf8(part.value).ok()
    }
}

/// Checks the form of the TLVs `rest` at the end of the header `whole`, and the checksum if
/// there is one.
pub(super) fn check(whole: &[u8], rest: &[u8]) -> Result<Tlvs, HeaderError> {
    for tlv in Items(rest) {
        let tlv = tlv?;
        match tlv.kind {
            Tlvs::SSL => {
                let ssl = ssl(tlv.value).ok_or(HeaderError::Tlv("5 bytes or more about TLS"))?;
                for part in Items(ssl.parts) {
                    part?;
                }
            }
            Tlvs::CRC32C => {
                let value = <[u8; 4]>::try_from(tlv.value)
                    .map_err(|_| HeaderError::Tlv("a CRC-32C of 4 bytes"))?;
                check_crc(whole, tlv.value, u32::from_be_bytes(value))?;
            }
            _ => {}
        }
    }
    Ok(Tlvs {
        bytes: Bytes::copy_from_slice(rest),
    })
}

/// The checksum is taken over the whole header with its own four bytes zero (section 2.2.3).
fn check_crc(whole: &[u8], field: &[u8], expected: u32) -> Result<(), HeaderError> {
    let at = (field.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    let (before, rest) = whole.split_at_checked(at).unwrap_or_default();
    let after = rest.get(field.len()..).unwrap_or_default();
    if crc32c(&[before, &[0; 4], after]) == expected {
        Ok(())
    } else {
        Err(HeaderError::Checksum)
    }
}

fn ssl(value: &[u8]) -> Option<Ssl<'_>> {
    let (&client, rest) = value.split_first()?;
    let (verify, parts) = rest.split_first_chunk()?;
    Some(Ssl {
        client,
        verify: u32::from_be_bytes(*verify),
        parts,
    })
}

/// TLV by TLV; an error is the last item.
struct Items<'a>(&'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = Result<Tlv<'a>, HeaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        if rest.is_empty() {
            return None;
        }
        let parts = rest
            .split_first_chunk()
            .and_then(|([kind, high, low], rest)| {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                let (value, rest) = rest.split_at_checked(len)?;
                Some((*kind, value, rest))
            });
        let Some((kind, value, rest)) = parts else {
            return Some(Err(HeaderError::Tlv("TLVs that end with the header")));
        };
        self.0 = rest;
        Some(Ok(Tlv { kind, value }))
    }
}

//! Which protocol a server speaks that does not speak the one that the address says.

use tidewire_proto::handshake::Url;

use crate::{net::Address, ws::ConnectError};

/// The protocol that answers instead of HTTP, at `ws://`, or of TLS, at `wss://`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OtherProtocol {
    /// TLS, at `ws://`.
    Tls,
    /// HTTP without TLS, at `wss://`.
    PlainHttp,
    /// HTTP/2 without the request for it.
    Http2,
    /// SSH.
    Ssh,
    /// SMTP or FTP, which greet alike.
    SmtpOrFtp,
    /// Something else, or an error of no known form.
    Other {
        /// How it begins: at most 64 bytes, escaped where they are no ASCII text.
        beginning: String,
    },
}

impl OtherProtocol {
    /// Returns what `bytes`, the first of a server, say if they are no HTTP/1; `None` also if it is too early to tell.
    pub(super) fn instead_of_http(bytes: &[u8]) -> Option<Self> {
        let expected = b"HTTP/";
        let len = bytes.len().min(expected.len());
        if bytes.get(..len) == expected.get(..len) {
            return None;
        }
        let named = Self::named(bytes);
        // A page without a head is no HTTP/1.
        let is_page = named == Self::PlainHttp;
        Some(if is_page { Self::other(bytes) } else { named })
    }

    /// Returns what these bytes of a server are.
    pub(super) fn named(bytes: &[u8]) -> Self {
        match bytes {
            // An alert or a hello of TLS (RFC 8446 section 5.1).
            [0x15 | 0x16, 3, ..] | [0x15 | 0x16] => Self::Tls,
            // SETTINGS on stream 0 (RFC 9113 section 6.5).
            [0, 0, _, 4, _, 0, 0, 0, 0, ..] => Self::Http2,
            bytes if bytes.starts_with(b"HTTP/") || bytes.starts_with(b"<") => Self::PlainHttp,
            bytes if bytes.starts_with(b"SSH-") => Self::Ssh,
            bytes if bytes.starts_with(b"220 ") || bytes.starts_with(b"220-") => Self::SmtpOrFtp,
            bytes => Self::other(bytes),
        }
    }

    fn other(bytes: &[u8]) -> Self {
        let shown = bytes.get(..BEGINNING_BYTES_MAX).unwrap_or(bytes);
        let beginning = shown.escape_ascii().to_string();
        Self::Other { beginning }
    }

    /// The error of a client for `url`.
    pub(super) fn at(self, url: &Url) -> ConnectError {
        ConnectError::OtherProtocol {
            host: match Address::unix_of(url) {
                Some(unix) => unix.to_string(),
                None => url.host().to_owned(),
            },
            port: url.port(),
            found: self,
        }
    }

    /// The end of a sentence about a server.
    pub(in crate::ws) fn told(&self) -> String {
        match self {
            Self::Tls => "speaks TLS: connect to wss:// instead of ws://".to_owned(),
            Self::PlainHttp => {
                "speaks HTTP without TLS: connect to ws:// instead of wss://, or to its port for TLS"
                    .to_owned()
            }
            Self::Http2 => "speaks HTTP/2 only, expected HTTP/1.1: connect over HTTP/2".to_owned(),
            Self::Ssh => "speaks SSH: is the port right?".to_owned(),
            Self::SmtpOrFtp => "speaks SMTP or FTP: is the port right?".to_owned(),
            Self::Other { beginning } => {
                format!("speaks another protocol, it answered \"{beginning}\": is the port right?")
            }
        }
    }
}

const BEGINNING_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_protocols_are_told_by_how_they_begin() {
        let other = |text: &str| {
            let beginning = text.to_owned();
            Some(OtherProtocol::Other { beginning })
        };
        for (bytes, expected) in [
            (&b""[..], None),
            (b"H", None),
            (b"HTTP/1.1 101", None),
            (b"HTTP/2", None),
            (b"\x15\x03\x01\0\x02\x02\x46", Some(OtherProtocol::Tls)),
            (b"\x15\x03\x03\0\x02\x02\x50", Some(OtherProtocol::Tls)),
            (b"\x15", Some(OtherProtocol::Tls)),
            (b"\x16\x03\x03", Some(OtherProtocol::Tls)),
            (b"\0\0\x12\x04\0\0\0\0\0\0\x03", Some(OtherProtocol::Http2)),
            (b"SSH-2.0-OpenSSH_10.0\r\n", Some(OtherProtocol::Ssh)),
            (
                b"220 mail.example ESMTP\r\n",
                Some(OtherProtocol::SmtpOrFtp),
            ),
            (b"220-Welcome\r\n", Some(OtherProtocol::SmtpOrFtp)),
            (b"<html>", other("<html>")),
            (b"+OK\r\n", other("+OK\\r\\n")),
            (
                b"\x4a\0\0\0\x0a9.1\0\x1b[2J",
                other("J\\x00\\x00\\x00\\n9.1\\x00\\x1b[2J"),
            ),
            (&[b'x'; 1000], other(&"x".repeat(64))),
            (b"Http/1.1 200 OK", other("Http/1.1 200 OK")),
        ] {
            assert_eq!(OtherProtocol::instead_of_http(bytes), expected, "{bytes:?}");
        }
    }
}

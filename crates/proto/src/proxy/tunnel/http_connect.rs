//! HTTP `CONNECT` (RFC 9110 section 9.3.6) with Basic credentials (RFC 7617).
//!
//! Any 2xx opens the tunnel, in HTTP/1.0 as well: many proxies answer so. The answer ends with
//! its head; a `Content-Length` in it is ignored, as the RFC demands.

use std::fmt::Write as _;

use bytes::Bytes;

use super::{Step, TunnelError};
use crate::{
    handshake::{HeadLimits, HeadScanner, ResponseHead, base64},
    proxy::Credentials,
};

#[derive(Debug)]
pub(super) struct HttpConnect {
    scanner: HeadScanner,
    interim: u8,
}

/// How many interim answers (1xx) are passed over before the final one.
const INTERIM_MAX: u8 = 4;

/// How every answer begins.
const START: &[u8] = b"HTTP/1.";

impl HttpConnect {
    /// `host` holds nothing that could break a head.
    pub(super) fn new(host: &str, port: u16, credentials: Option<&Credentials>) -> (Self, Vec<u8>) {
        let target = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(Credentials { user, password }) = credentials {
            let login = base64(format!("{user}:{password}").as_bytes());
            write!(request, "Proxy-Authorization: Basic {login}\r\n")
                .expect("writing to a string cannot fail");
        }
        request.push_str("\r\n");
        let machine = Self {
            scanner: HeadScanner::default(),
            interim: 0,
        };
        (machine, request.into_bytes())
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<Step, TunnelError> {
        if !bytes.iter().zip(START).all(|(a, b)| a == b) {
            return Err(TunnelError::Unexpected("an HTTP/1 answer"));
        }
        let limits = HeadLimits::default();
        let Some(used) = self.scanner.scan(bytes, limits)? else {
            return Ok(Step::More);
        };
        let head = Bytes::copy_from_slice(bytes.get(..used).unwrap_or_default());
        match ResponseHead::parse_of_connect(head, limits)?.status() {
            200..300 => Ok(Step::Open { used }),
            //= rfc9110#15.2: 1xx may come although nothing asked for it
            100 | 102..200 if self.interim < INTERIM_MAX => {
                self.interim = self.interim.saturating_add(1);
                self.scanner = HeadScanner::default();
                Ok(Step::Write {
                    used,
                    bytes: Vec::new(),
                })
            }
            407 => Err(TunnelError::Unauthorized),
            status => Err(TunnelError::Status(status)),
        }
    }
}

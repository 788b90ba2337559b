//! SOCKS version 5 (RFC 1928): method, user name and password if asked for (RFC 1929), connect.

use std::{fmt, net::IpAddr};

use super::{Step, TunnelError};
use crate::proxy::Credentials;

/// ```text
/// Method ──no login──────────────▶ Reply ──succeeded──▶ open
///    └─────login──▶ Login ──ok──────▲
/// ```
pub(super) struct Socks5 {
    state: State,
    /// The request to connect, sent once the proxy has let us in.
    request: Vec<u8>,
    /// The login, if there are credentials: sent only when the proxy asks.
    login: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Method,
    Login,
    Reply,
}

/// A proxy's answer to the request to connect (RFC 1928 section 6), other than success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocksReply {
    /// 1
    GeneralFailure,
    /// 2
    NotAllowed,
    /// 3
    NetworkUnreachable,
    /// 4
    HostUnreachable,
    /// 5
    ConnectionRefused,
    /// 6
    TtlExpired,
    /// 7
    CommandNotSupported,
    /// 8
    AddressTypeNotSupported,
    /// Any other.
    Unassigned(u8),
}

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const METHOD_NONE: u8 = 0;
const METHOD_LOGIN: u8 = 2;
const METHOD_NO_ACCEPTABLE: u8 = 0xff;
const COMMAND_CONNECT: u8 = 1;
const TYPE_V4: u8 = 1;
const TYPE_NAME: u8 = 3;
const TYPE_V6: u8 = 4;

impl Socks5 {
    /// `host` has at most 255 bytes, and so have user name and password.
    pub(super) fn new(host: &str, port: u16, credentials: Option<&Credentials>) -> (Self, Vec<u8>) {
        let mut request = vec![VERSION, COMMAND_CONNECT, 0];
        match host.parse() {
            Ok(IpAddr::V4(v4)) => {
                request.push(TYPE_V4);
                request.extend_from_slice(&v4.octets());
            }
            Ok(IpAddr::V6(v6)) => {
                request.push(TYPE_V6);
                request.extend_from_slice(&v6.octets());
            }
            Err(_) => {
                request.push(TYPE_NAME);
                push_short(&mut request, host);
            }
        }
        request.extend_from_slice(&port.to_be_bytes());
        let login = credentials.map(|Credentials { user, password }| {
            let mut login = vec![LOGIN_VERSION];
            push_short(&mut login, user);
            push_short(&mut login, password);
            login
        });
        let first = if login.is_some() {
            vec![VERSION, 2, METHOD_NONE, METHOD_LOGIN]
        } else {
            vec![VERSION, 1, METHOD_NONE]
        };
        let machine = Self {
            state: State::Method,
            request,
            login,
        };
        (machine, first)
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<Step, TunnelError> {
        match self.state {
            State::Method => self.method(bytes),
            State::Login => self.login(bytes),
            State::Reply => reply(bytes),
        }
    }

    fn method(&mut self, bytes: &[u8]) -> Result<Step, TunnelError> {
        expect_version(bytes)?;
        let Some(method) = bytes.get(1) else {
            return Ok(Step::More);
        };
        let bytes = match (*method, self.login.take()) {
            (METHOD_NONE, _) => {
                self.state = State::Reply;
                std::mem::take(&mut self.request)
            }
            (METHOD_LOGIN, Some(login)) => {
                self.state = State::Login;
                login
            }
            (METHOD_NO_ACCEPTABLE, _) => return Err(TunnelError::Unauthorized),
            _ => return Err(TunnelError::Unexpected("a SOCKS5 method that was offered")),
        };
        Ok(Step::Write { used: 2, bytes })
    }

    fn login(&mut self, bytes: &[u8]) -> Result<Step, TunnelError> {
        if bytes
            .first()
            .is_some_and(|version| *version != LOGIN_VERSION)
        {
            return Err(TunnelError::Unexpected("the answer to a SOCKS5 login"));
        }
        match bytes.get(1) {
            None => Ok(Step::More),
            Some(0) => {
                self.state = State::Reply;
                Ok(Step::Write {
                    used: 2,
                    bytes: std::mem::take(&mut self.request),
                })
            }
            Some(_) => Err(TunnelError::Unauthorized),
        }
    }
}

impl fmt::Debug for Socks5 {
    /// Without the login.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socks5")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Version, reply, reserved, then the address the proxy connects from: it tells nothing we
/// need, but its length.
fn reply(bytes: &[u8]) -> Result<Step, TunnelError> {
    expect_version(bytes)?;
    match bytes.get(1) {
        None => return Ok(Step::More),
        Some(0) => {}
        // Some proxies end the connection behind this byte.
        Some(other) => return Err(TunnelError::Reply(SocksReply::from(*other))),
    }
    let address_len = match (bytes.get(3), bytes.get(4)) {
        (None, _) | (Some(&TYPE_NAME), None) => return Ok(Step::More),
        (Some(&TYPE_V4), _) => 4,
        (Some(&TYPE_V6), _) => 16,
        (Some(&TYPE_NAME), Some(len)) => usize::from(*len).saturating_add(1),
        (Some(_), _) => return Err(TunnelError::Unexpected("a SOCKS5 address type")),
    };
    let used = address_len.saturating_add(6);
    Ok(if bytes.len() < used {
        Step::More
    } else {
        Step::Open { used }
    })
}

fn expect_version(bytes: &[u8]) -> Result<(), TunnelError> {
    match bytes.first() {
        None | Some(&VERSION) => Ok(()),
        Some(_) => Err(TunnelError::Unexpected("SOCKS version 5")),
    }
}

/// The length in one byte, then the text; what is longer cannot get here.
fn push_short(out: &mut Vec<u8>, text: &str) {
    let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
    out.push(len);
    out.extend(text.bytes().take(usize::from(len)));
}

impl From<u8> for SocksReply {
    fn from(code: u8) -> Self {
        match code {
            1 => Self::GeneralFailure,
            2 => Self::NotAllowed,
            3 => Self::NetworkUnreachable,
            4 => Self::HostUnreachable,
            5 => Self::ConnectionRefused,
            6 => Self::TtlExpired,
            7 => Self::CommandNotSupported,
            8 => Self::AddressTypeNotSupported,
            other => Self::Unassigned(other),
        }
    }
}

impl fmt::Display for SocksReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GeneralFailure => "general failure",
            Self::NotAllowed => "not allowed by its rules",
            Self::NetworkUnreachable => "network unreachable",
            Self::HostUnreachable => "host unreachable",
            Self::ConnectionRefused => "connection refused",
            Self::TtlExpired => "time to live expired",
            Self::CommandNotSupported => "command not supported",
            Self::AddressTypeNotSupported => "address type not supported",
            Self::Unassigned(code) => return write!(f, "unassigned reply {code}"),
        })
    }
}

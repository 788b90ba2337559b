//! The HTTP client of a service: pooled, bounded, without redirections.

use std::time::Duration;

use tidewire::{
    http::{Client, ClientConfig, RequestError},
    tls::{ClientTls, TlsError},
};

/// Makes a client that trusts the system's authorities, or those in `authorities` as well.
pub(crate) fn client(
    authorities: Option<&str>,
    timeout: Duration,
    requests_max: usize,
    body_bytes_max: usize,
) -> Result<Client, TlsError> {
    let mut config = ClientConfig::default();
    config.connect_timeout = timeout;
    config.request_timeout = timeout;
    config.read_timeout = timeout;
    config.requests_max = requests_max;
    config.idle_per_host_max = requests_max.min(IDLE_MAX);
    config.body_bytes_max = body_bytes_max;
    config.redirects_max = 0;
    if let Some(pem) = authorities {
        let trusted = ClientTls::builder().system_roots().ca_pem(pem.to_owned());
        config.tls = Some(trusted.build()?);
    }
    Ok(Client::new(config))
}

/// The kind of failure, without anything of the request: there are secrets in it.
pub(crate) fn in_words(error: &RequestError) -> &'static str {
    match error {
        RequestError::Connect(_) => "cannot connect",
        RequestError::Lost(_) => "the connection was lost",
        RequestError::TimedOut { .. } => "no answer in time",
        RequestError::TooLarge { .. } => "the answer is too large",
        RequestError::Response(_) => "the answer is not valid HTTP",
        RequestError::Invalid(_) | _ => "the request cannot be sent",
    }
}

/// Connections that are kept.
const IDLE_MAX: usize = 64;

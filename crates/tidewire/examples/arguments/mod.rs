//! The command line that the server examples share:
//!
//! ```text
//! EXAMPLE [ADDRESS] [--tls CERTIFICATE KEY] [--workers N]
//! ```

use std::{env, error::Error, num::NonZeroUsize, path::PathBuf};

use tidewire::{service::Workers, tls::ServerTls, ws::ServerConfig};

/// Where and how to listen, from the command line; 127.0.0.1:9001 without one.
pub(crate) fn server_config() -> Result<ServerConfig, Box<dyn Error>> {
    let mut config = ServerConfig::new("127.0.0.1:9001".parse()?);
    let mut arguments = env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = |name: &str| {
            let missing = format!(
                "{name} needs a value, as in [ADDRESS] [--tls CERTIFICATE KEY] [--workers N]"
            );
            arguments.next().ok_or(missing)
        };
        match argument.to_str() {
            Some("--tls") => {
                let files = (value("--tls")?, value("--tls")?);
                let (certificate, key) = (PathBuf::from(files.0), PathBuf::from(files.1));
                config.tls = Some(ServerTls::from_pem(&certificate, &key)?);
            }
            Some("--workers") => {
                let count: NonZeroUsize = value("--workers")?.to_string_lossy().parse()?;
                config.workers = Workers::PerCore(count);
            }
            Some(address) => config.address = address.parse()?,
            None => return Err("expected an address such as 127.0.0.1:9001".into()),
        }
    }
    Ok(config)
}

/// The address to connect to.
pub(crate) fn url(config: &ServerConfig, address: std::net::SocketAddr) -> String {
    let scheme = if config.tls.is_some() { "wss" } else { "ws" };
    format!("{scheme}://{address}/")
}

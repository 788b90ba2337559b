//! A running server, asked over its REST API: [`Remote`].
//!
//! In: where it is and with which credentials, from the command line, files, the environment and the server's own
//! configuration. Out: answers, or errors that say what to do. Invariant: a secret never stands on the command line, which
//! every user of the machine can read, and never in an error.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, Response, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidewire::{
    http::{Client, ClientConfig, RequestError, request, request_with_body},
    net::Address,
    tls::ClientTls,
};
use tidewire_server::config::{Overrides, load_from_process};

use crate::report::WrongUsage;

/// Which server, and who asks.
#[derive(Debug, clap::Args)]
pub(crate) struct Remote {
    /// Address of the REST API, instead of the configuration's
    #[arg(long, value_name = "URL", env = "TIDEWIRE_URL")]
    url: Option<String>,
    /// TOML file with the server's configuration, which tells the address
    #[arg(short, long, value_name = "FILE", env = "TIDEWIRE_CONFIG")]
    config: Option<PathBuf>,
    /// File with a bearer token; or the variable `TIDEWIRE_TOKEN` has it
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    token: Option<PathBuf>,
    /// Name for basic authentication
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// File with the password of --user; or the variable `TIDEWIRE_PASSWORD` has it
    #[arg(long, value_name = "FILE", requires = "user")]
    password: Option<PathBuf>,
    /// PEM file with the authorities that are trusted, instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// A client of a server's REST API.
#[derive(Debug)]
pub(crate) struct Rest {
    client: Client,
    url: String,
    authorization: Option<String>,
}

impl Remote {
    /// # Errors
    /// An address or a file that cannot be used.
    pub(crate) fn rest(&self) -> anyhow::Result<Rest> {
        let mut config = ClientConfig::default();
        config.tls = self.ca.as_deref().map(ClientTls::with_ca).transpose()?;
        let url = match &self.url {
            Some(url) => url.clone(),
            None => self.configured(&mut config)?,
        };
        let client = Client::new(config).base(&url);
        let client = client.context(WrongUsage("--url: expected such as http://127.0.0.1:8092"))?;
        Ok(Rest {
            client,
            url: url.trim_end_matches('/').to_owned(),
            authorization: self.authorization()?,
        })
    }

    /// The address of the configuration.
    fn configured(&self, config: &mut ClientConfig) -> anyhow::Result<String> {
        let settings = load_from_process(self.config.as_deref(), &Overrides::default());
        let settings = settings.context(WrongUsage(
            "the configuration does not tell where the server is; --url does",
        ))?;
        let rest = settings.rest.context(WrongUsage(
            "the configuration has no REST API (rest.enabled is false)",
        ))?;
        let scheme = if rest.tls.is_some() { "https" } else { "http" };
        if let Address::Ip(mut address) = rest.listen {
            if address.port() == 0 {
                bail!(WrongUsage(
                    "the configuration leaves the port open; --url names it"
                ));
            }
            if address.ip().is_unspecified() {
                address.set_ip(match address.ip() {
                    std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                    std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
                });
            }
            return Ok(format!("{scheme}://{address}"));
        }
        config.address = Some(rest.listen);
        Ok(format!("{scheme}://localhost"))
    }

    /// The value of the field, if there are credentials.
    fn authorization(&self) -> anyhow::Result<Option<String>> {
        if let Some(user) = &self.user {
            let password = secret(self.password.as_ref(), "TIDEWIRE_PASSWORD")?;
            let password = password.context(WrongUsage(
                "--user needs --password FILE, or TIDEWIRE_PASSWORD in the environment",
            ))?;
            let pair = STANDARD.encode(format!("{user}:{password}"));
            return Ok(Some(format!("Basic {pair}")));
        }
        let token = secret(self.token.as_ref(), "TIDEWIRE_TOKEN")?;
        Ok(token.map(|token| format!("Bearer {token}")))
    }
}

/// The content of a file, or else of a variable; one line end at its end is no part of it.
fn secret(file: Option<&PathBuf>, variable: &str) -> anyhow::Result<Option<String>> {
    let text = match file {
        Some(file) => {
            let text = fs::read_to_string(file);
            Some(text.with_context(|| format!("cannot read {}", file.display()))?)
        }
        None => std::env::var(variable).ok(),
    };
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.bytes().any(|byte| byte.is_ascii_control()) {
        bail!(WrongUsage("a token or password is one line"));
    }
    Ok(Some(line.to_owned()))
}

impl Rest {
    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// GET, and `data` of the answer.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let (status, body) = self.exchange(Method::GET, path, None).await?;
        data(status, &body)
    }

    /// GET, and the answer as it is; of any status that says something about the server.
    pub(crate) async fn text(&self, path: &str) -> anyhow::Result<String> {
        let (_, body) = self.exchange(Method::GET, path, None).await?;
        Ok(body)
    }

    /// POST of JSON, and `data` of the answer.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<T> {
        let body = Some(body.to_string());
        let (status, body) = self.exchange(Method::POST, path, body).await?;
        data(status, &body)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> anyhow::Result<(u16, String)> {
        let made = match body {
            Some(body) => request_with_body(method, path, body),
            None => request(method, path),
        };
        let mut request = made.context("not a request")?;
        let fields = request.headers_mut();
        fields.insert(header::CONTENT_TYPE, "application/json".parse()?);
        if let Some(value) = &self.authorization {
            let value = value
                .parse()
                .context("credentials of other characters than HTTP has")?;
            fields.insert(header::AUTHORIZATION, value);
        }
        let response = self.client.send(request).await;
        let response = response.map_err(|error| self.unreachable(error))?;
        self.checked(&response)
    }

    fn unreachable(&self, error: RequestError) -> anyhow::Error {
        let hint = match &error {
            RequestError::Connect(_) => "; is the server there, and --url right?",
            RequestError::Response(_) | RequestError::Lost(_) => {
                "; is this the REST API, and https where it speaks TLS?"
            }
            RequestError::Invalid(_)
            | RequestError::TimedOut { .. }
            | RequestError::TooLarge { .. }
            | _ => "",
        };
        anyhow::Error::new(error).context(format!("no answer from {}{hint}", self.url))
    }

    /// Status and text of an answer of the REST API.
    fn checked<B: AsRef<[u8]>>(&self, response: &Response<B>) -> anyhow::Result<(u16, String)> {
        let status = response.status().as_u16();
        let body = String::from_utf8_lossy(response.body().as_ref()).into_owned();
        let message = message(&body);
        let is_ours = response.headers().get(header::SERVER);
        let is_ours = is_ours.is_some_and(|server| server == "Tidewire");
        match status {
            401 if self.authorization.is_some() => {
                bail!("{} does not take these credentials (401)", self.url)
            }
            401 => bail!(
                "{} asks for credentials (401): --token FILE, or --user NAME and --password FILE",
                self.url
            ),
            403 => bail!(
                "{} does not allow it (403): {}",
                self.url,
                message.unwrap_or_default()
            ),
            300..=399 => bail!(
                "{} redirects ({status}): expected the REST API itself",
                self.url
            ),
            _ if message.is_none() && !is_ours => bail!(
                "{} answers {status}, but is not the REST API of Tidewire; its address is rest.listen in the configuration",
                self.url
            ),
            _ => Ok((status, body)),
        }
    }
}

/// `data` of an answer, or the error it tells.
fn data<T: DeserializeOwned>(status: u16, body: &str) -> anyhow::Result<T> {
    if status == 503 && message(body).is_none() {
        bail!("the server is too busy to answer (503)");
    }
    let answer: Value = serde_json::from_str(body).context("the answer is no JSON")?;
    if !(200..300).contains(&status) {
        let message = message(body).unwrap_or_default();
        bail!("the server answers {status}: {message}");
    }
    let data = answer.get("data").cloned().unwrap_or_default();
    serde_json::from_value(data).context("the answer is of another version of the server")
}

/// Returns the words of an answer of the REST API, if it has any.
fn message(body: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(body).ok()?;
    Some(answer.get("message")?.as_str()?.to_owned())
}

/// Runs a command that asks a server.
pub(crate) fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    let result = runtime.block_on(command);
    runtime.shutdown_timeout(Duration::ZERO);
    result
}

/// A text as the value of a parameter.
pub(crate) fn parameter(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

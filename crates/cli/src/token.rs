//! `tidewire token`: makes JSON Web Tokens for tests and for small installations, and looks into others'.

use std::{
    fs,
    io::{self, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use tidewire_auth::{Algorithm, Secret, SigningKey, unverified_parts, user_name};
use tidewire_server::config::{Overrides, load_from_process};

use crate::{exit_codes::exit_codes, output, report::WrongUsage};

/// Make a JSON Web Token, or look into one.
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "A key is read from a file, a token from the standard input: neither belongs on a command line, which other users of ",
    "the machine can read.\n\n",
    "EXAMPLES\n",
    "  openssl rand -hex 32 > secret\n",
    "  tidewire token make --key secret --user alice\n",
    "  tidewire token make --key secret --user alice --device phone --lifetime 10m --send-to bob --send-to 'team-*'\n",
    "  tidewire token make --algorithm ES256 --key es256.pem --key-id 2026 --issuer https://id.example --audience chat \\\n",
    "      --user 42 --admin\n",
    "  tidewire token make --key secret --user alice --claim plan=gold --subscribe 'news.*' --publish 'chat.*'\n",
    "  tidewire token inspect < token\n",
    "  tidewire token inspect --config tidewire.toml < token\n\n",
    exit_codes!()
))]
pub(crate) struct TokenArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a token and write it to the standard output
    Make(Box<Make>),
    /// Show what a token says; with a configuration also whether `server.auth` takes it
    Inspect(Inspect),
}

#[derive(Debug, clap::Args)]
struct Make {
    /// File with the secret, or with the private key in PEM (PKCS#8); one line end at its end is no part of it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or `EdDSA`
    #[arg(long, default_value = "HS256", value_name = "NAME")]
    algorithm: Algorithm,
    /// The key's name in the header (`kid`)
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// The user (`sub`)
    #[arg(long, value_name = "ID")]
    user: String,
    /// The user's device (`device`)
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// How long the token is good: a number with s, m, h or d
    #[arg(long, default_value = "1h", value_name = "TIME")]
    lifetime: String,
    /// Who makes it (`iss`)
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Whom it is for (`aud`)
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
    /// A user, or pattern with *, that may be sent to; may be repeated. Without any grant everybody may
    #[arg(long, value_name = "PATTERN")]
    send_to: Vec<String>,
    /// A channel, or pattern with *, that may be subscribed to; may be repeated
    #[arg(long, value_name = "PATTERN")]
    subscribe: Vec<String>,
    /// A channel, or pattern with *, that may be published to; may be repeated
    #[arg(long, value_name = "PATTERN")]
    publish: Vec<String>,
    /// May act for the operator over REST
    #[arg(long)]
    admin: bool,
    /// A further claim, as NAME=VALUE; the value is JSON, or else a text; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    claim: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Inspect {
    /// TOML file whose `server.auth` is asked
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn run(arguments: &TokenArguments) -> anyhow::Result<ExitCode> {
    match &arguments.action {
        Action::Make(make) => {
            let token = make.token()?;
            output::print(&format!("{token}\n")).context("cannot write the token")?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Inspect(inspect) => inspect.run(),
    }
}

impl Make {
    fn token(&self) -> anyhow::Result<String> {
        let text = fs::read_to_string(&self.key)
            .with_context(|| format!("cannot read the key in {}", self.key.display()))?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let secret = Secret::from(line.strip_suffix('\r').unwrap_or(line));
        let key = SigningKey::new(self.algorithm, &secret).context(WrongUsage("no such token"))?;
        let key = match &self.key_id {
            Some(id) => key.id(id),
            None => key,
        };
        Ok(key.sign(&Value::Object(self.claims()?))?)
    }

    fn claims(&self) -> anyhow::Result<Map<String, Value>> {
        let user = user_name(&self.user).context(WrongUsage("--user"))?;
        let lifetime = tidewire_table::parse_duration(&self.lifetime);
        let lifetime = lifetime.context(WrongUsage("--lifetime: expected a time such as 1h"))?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let expires = now
            .checked_add(lifetime)
            .context("--lifetime is too long")?;
        let mut claims = Map::new();
        claims.insert("sub".to_owned(), json!(user));
        claims.insert("iat".to_owned(), json!(now.as_secs()));
        claims.insert("exp".to_owned(), json!(expires.as_secs()));
        for (name, value) in [
            ("iss", &self.issuer),
            ("aud", &self.audience),
            ("device", &self.device),
        ] {
            if let Some(value) = value {
                claims.insert(name.to_owned(), json!(value));
            }
        }
        let mut grants = Map::new();
        for (name, patterns) in [
            ("send_to", &self.send_to),
            ("subscribe", &self.subscribe),
            ("publish", &self.publish),
        ] {
            if !patterns.is_empty() {
                grants.insert(name.to_owned(), json!(patterns));
            }
        }
        if self.admin {
            grants.insert("admin".to_owned(), json!(true));
        }
        if !grants.is_empty() {
            claims.insert("tidewire".to_owned(), Value::Object(grants));
        }
        for claim in &self.claim {
            let split = claim.split_once('=');
            let (name, value) = split.context(WrongUsage("--claim: expected NAME=VALUE"))?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
            claims.insert(name.to_owned(), value);
        }
        Ok(claims)
    }
}

impl Inspect {
    fn run(&self) -> anyhow::Result<ExitCode> {
        if io::stdin().is_terminal() {
            return Err(anyhow::Error::new(WrongUsage(
                "expected a token on the standard input",
            )));
        }
        let mut token = String::new();
        let mut stdin = io::stdin().take(TOKEN_FILE_BYTES_MAX);
        stdin
            .read_to_string(&mut token)
            .context("cannot read the token")?;
        let token = token.trim();
        let parts = unverified_parts(token);
        let (header, claims) =
            parts.context("not a signed token: expected three parts in base64url")?;
        let mut text = format!(
            "header     {}\nclaims     {}\n",
            header.trim(),
            claims.trim()
        );
        text.push_str(&times(&claims));
        let checked = match &self.config {
            None => {
                text.push_str("signature  not checked: --config names the keys\n");
                Ok(())
            }
            Some(file) => {
                let (line, checked) = verdict(token, file)?;
                text.push_str(&line);
                checked
            }
        };
        output::print(&text).context("cannot write the result")?;
        checked?;
        Ok(ExitCode::SUCCESS)
    }
}

/// When it is good, in words.
fn times(claims: &str) -> String {
    let claims: Value = serde_json::from_str(claims).unwrap_or_default();
    let Some(expires) = claims.get("exp").and_then(Value::as_f64) else {
        return String::new();
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let left = expires - now.unwrap_or_default().as_secs_f64();
    let seconds = Duration::try_from_secs_f64(left.abs()).unwrap_or_default();
    let seconds = Duration::from_secs(seconds.as_secs());
    if left > 0.0 {
        format!("expires    in {seconds:?}\n")
    } else {
        format!("expires    {seconds:?} ago\n")
    }
}

/// Asks the server of a configuration about a token.
fn verdict(token: &str, file: &Path) -> anyhow::Result<(String, anyhow::Result<()>)> {
    let settings = load_from_process(Some(file), &Overrides::default());
    let settings = settings.context(WrongUsage("invalid configuration"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    let fields = [("authorization", format!("Bearer {token}"))];
    let checked = runtime.block_on(settings.server.auth.check(&fields));
    Ok(match checked {
        Ok(identity) => {
            let user = identity.user().unwrap_or("anybody");
            let admin = if identity.is_admin() {
                ", administrator"
            } else {
                ""
            };
            (format!("accepted   as {user}{admin}\n"), Ok(()))
        }
        Err(denied) => (
            format!("refused    {denied}\n"),
            Err(anyhow::anyhow!("server.auth refuses the token")),
        ),
    })
}

const TOKEN_FILE_BYTES_MAX: u64 = 64 << 10;

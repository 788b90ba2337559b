//! `tidewire certs`: a certificate authority and what it signs for a server and a client, without OpenSSL.

mod key; // private keys, plain and behind a passphrase
mod issue; // who vouches for whom
mod files; // what is written, and what is not overwritten

use std::{
    fs,
    net::Ipv6Addr,
    path::{self, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};

use self::{
    files::{File, Forms},
    issue::{Authority, Issued, Term},
    key::{Algorithm, Passphrase},
};
use crate::{exit_codes::exit_codes, output, report::WrongUsage};

/// Make certificates: an authority, and a server and a client that it vouches for.
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "Makes the files ca.*, server.* and client.* in DIR, each in four forms: .key (the private key, PEM), .crt (the ",
    "certificate, PEM), .pfx (both, PKCS#12, behind the passphrase) and .pem (both, the key behind the passphrase). ",
    "Keys, .pfx and .pem are for their owner only (mode 0600). Whoever has ca.key can pose as any of your servers to ",
    "everybody who trusts ca.crt: put it away. The default passphrase keeps nobody out.\n\n",
    "EXAMPLES\n",
    "  tidewire certs                                        for localhost, in certificates/\n",
    "  tidewire certs --dir /etc/tidewire/tls --server chat.example.org --server 10.0.0.7\n",
    "  tidewire certs --client alice --ca 'Example CA' --days 90\n",
    "  tidewire certs --existing-ca --client bob             bob.key, bob.crt, ... of the authority in certificates/\n",
    "  tidewire certs --rsa --passphrase-file secret.txt     RSA of 4096 bits instead of ECDSA P-256\n",
    "  tidewire certs --passphrase 'correct horse' --force   over those that are there\n",
    "  tidewire certs --self-signed                          no authority: the server vouches for the client\n\n",
    "There are no Diffie-Hellman parameters to make: TLS here uses elliptic curves.\n\n",
    exit_codes!()
))]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each flag of the command line"
)]
pub(crate) struct CertsArguments {
    /// Directory for the files; it is made if it is not there
    #[arg(long, value_name = "DIR", default_value = "certificates")]
    dir: PathBuf,
    /// Host name or address of the server; may be repeated; without it one that is for localhost too
    #[arg(long, value_name = "NAME", value_parser = name)]
    server: Vec<String>,
    /// Name of the client; may be repeated [default: client.example.com]
    #[arg(long, value_name = "NAME", value_parser = name)]
    client: Vec<String>,
    /// Name of the authority
    #[arg(long, value_name = "NAME", default_value = "example.com", value_parser = name)]
    ca: String,
    /// How long the certificates are valid, from yesterday on
    #[arg(long, value_name = "DAYS", default_value = "3650", value_parser = clap::value_parser!(u32).range(1..=36500))]
    days: u32,
    /// Passphrase of .pfx and .pem; other users of the machine may see it in the list of processes
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "qwerty",
        conflicts_with = "passphrase_file"
    )]
    passphrase: String,
    /// File with the passphrase in its first line
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// RSA keys of 4096 bits, which take some seconds each, instead of ECDSA P-256
    #[arg(long)]
    rsa: bool,
    /// Sign with ca.key and ca.crt in DIR, and make only what --server and --client ask for; the files are named
    /// after the first name of each
    #[arg(long, conflicts_with_all = ["ca", "self_signed"])]
    existing_ca: bool,
    /// Make server-cert.pem, which is signed by itself, and client-cert.pem, which is signed by the server's key
    #[arg(long, conflicts_with = "ca")]
    self_signed: bool,
    /// Overwrite files that are there
    #[arg(long)]
    force: bool,
}

/// A name that fits a certificate, and a file name.
fn name(text: &str) -> Result<String, String> {
    const BYTES_MAX: usize = 253; // the longest name of a host
    if text.is_empty() || text.len() > BYTES_MAX {
        return Err(format!("expected a name of 1 to {BYTES_MAX} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err("expected a name without control characters".to_owned());
    }
    Ok(text.to_owned())
}

pub(crate) fn run(arguments: &CertsArguments) -> anyhow::Result<ExitCode> {
    let files = if arguments.self_signed {
        self_signed(arguments)?
    } else {
        with_authority(arguments)?
    };
    let dir = &arguments.dir;
    files::write(dir, &files, arguments.force)?;
    let made: Vec<String> = files
        .iter()
        .map(|file| {
            let path = dir.join(&file.name).display().to_string();
            format!("{path:<34} {}\n", file.purpose)
        })
        .collect();
    let text = made.concat() + &usage(arguments);
    output::print(&text).context("cannot write the result")?;
    Ok(ExitCode::SUCCESS)
}

impl CertsArguments {
    fn algorithm(&self) -> Algorithm {
        if self.rsa {
            Algorithm::Rsa4096
        } else {
            Algorithm::EcdsaP256
        }
    }

    fn passphrase(&self) -> anyhow::Result<Passphrase> {
        let text = match &self.passphrase_file {
            None => self.passphrase.clone(),
            Some(path) => {
                let text = fs::read_to_string(path)
                    .with_context(|| format!("cannot read the passphrase in {}", path.display()))?;
                text.lines().next().unwrap_or_default().to_owned()
            }
        };
        if text.is_empty() {
            return Err(anyhow::Error::from(WrongUsage("the passphrase is empty")));
        }
        Ok(Passphrase(text))
    }

    fn server_names(&self) -> Vec<String> {
        const DEFAULT: [&str; 4] = ["server.example.com", "localhost", "127.0.0.1", "::1"];
        if self.server.is_empty() {
            DEFAULT.map(str::to_owned).to_vec()
        } else {
            self.server.clone()
        }
    }

    fn client_names(&self) -> Vec<String> {
        if self.client.is_empty() {
            vec!["client.example.com".to_owned()]
        } else {
            self.client.clone()
        }
    }
}

fn with_authority(arguments: &CertsArguments) -> anyhow::Result<Vec<File>> {
    let forms = Forms {
        passphrase: arguments.passphrase()?,
    };
    let (algorithm, term) = (arguments.algorithm(), Term::of_days(arguments.days)?);
    let mut files = Vec::new();
    let authority = if arguments.existing_ca {
        if arguments.server.is_empty() && arguments.client.is_empty() {
            let usage = "--existing-ca needs --server or --client: whom is a certificate for?";
            return Err(anyhow::Error::from(WrongUsage(usage)));
        }
        Authority::load(&arguments.dir.join("ca.crt"), &arguments.dir.join("ca.key"))?
    } else {
        let authority = Authority::new(&arguments.ca, algorithm, term)?;
        files.extend(forms.all("ca", authority.issued(), None)?);
        authority
    };
    let is_asked = |names: &[String]| !arguments.existing_ca || !names.is_empty();
    let stem = |usual: &str, names: &[String]| -> anyhow::Result<String> {
        match names {
            [first, ..] if arguments.existing_ca => file_stem(first),
            _ => Ok(usual.to_owned()),
        }
    };
    let chain = Some(authority.issued());
    if is_asked(&arguments.server) {
        let issued = authority.server(&arguments.server_names(), algorithm, term)?;
        let stem = stem("server", &arguments.server)?;
        files.extend(forms.all(&stem, &issued, chain)?);
    }
    if is_asked(&arguments.client) {
        let issued = authority.client(&arguments.client_names(), algorithm, term)?;
        let stem = stem("client", &arguments.client)?;
        files.extend(forms.all(&stem, &issued, chain)?);
    }
    distinct(&files)?;
    Ok(files)
}

fn distinct(files: &[File]) -> anyhow::Result<()> {
    for (index, file) in files.iter().enumerate() {
        if files.iter().skip(index + 1).any(|it| it.name == file.name) {
            let usage = "server and client need different names: their files are named after them";
            return Err(anyhow::Error::from(WrongUsage(usage)));
        }
    }
    Ok(())
}

/// `*.example.org` and `::1` are names, but poor file names.
fn file_stem(name: &str) -> anyhow::Result<String> {
    let stem: String = name
        .chars()
        .map(|it| match it {
            '*' => 'x',
            it if it.is_alphanumeric() || matches!(it, '.' | '-' | '_' | '@') => it,
            _ => '-',
        })
        .collect();
    let stem = stem.trim_start_matches(['.', '-']).to_owned();
    if stem.is_empty() || ["ca", "server", "client"].contains(&stem.to_lowercase().as_str()) {
        bail!(WrongUsage("this name cannot name files; expected another"));
    }
    Ok(stem)
}

/// A pair of a server that is its own authority, and vouches for the client.
fn self_signed(arguments: &CertsArguments) -> anyhow::Result<Vec<File>> {
    let (algorithm, term) = (arguments.algorithm(), Term::of_days(arguments.days)?);
    let authority = Authority::self_signed_server(&arguments.server_names(), algorithm, term)?;
    let client = authority.client(&arguments.client_names(), algorithm, term)?;
    let files = |stem: &str, issued: &Issued| {
        [
            File::public(
                format!("{stem}-cert.pem"),
                issued.certificate.clone(),
                issued.role.what(),
            ),
            File::secret(
                format!("{stem}-key.pem"),
                issued.key.to_pem(),
                "its private key",
            ),
        ]
    };
    let server = authority.issued();
    let mut all = files("server", server).to_vec();
    all.extend(files("client", &client));
    all.push(File::public(
        "ca-cert.pem".to_owned(),
        server.certificate.clone(),
        "a copy of server-cert.pem: what both ends trust",
    ));
    Ok(all)
}

/// How to go on.
fn usage(arguments: &CertsArguments) -> String {
    if arguments.existing_ca {
        return String::new();
    }
    // A configuration may be read from another directory.
    let dir = path::absolute(&arguments.dir).unwrap_or_else(|_| arguments.dir.clone());
    let path = |name: &str| dir.join(name).display().to_string();
    let (certificate, key, ca) = if arguments.self_signed {
        ("server-cert.pem", "server-key.pem", "ca-cert.pem")
    } else {
        ("server.crt", "server.key", "ca.crt")
    };
    let (certificate, key, ca) = (path(certificate), path(key), path(ca));
    let host = arguments.server.first().map_or("localhost", String::as_str);
    let host = if host.parse::<Ipv6Addr>().is_ok() {
        format!("[{host}]")
    } else {
        host.replacen("*.", "any.", 1)
    };
    format!(
        "\nin the file of `tidewire serve`; for `tidewire gateway` the same keys under [listeners.tls]:\n\n  \
         [server.tls]\n  enabled = true\n  certificate = {certificate:?}\n  key = {key:?}\n  \
         # client_ca = {ca:?}   # mutual TLS: only clients with a certificate, which `tidewire chat` has not\n\n\
         a client that trusts it:\n\n  \
         tidewire chat 'wss://{host}:8085/chat?id=1' --ca '{ca}'\n"
    )
}

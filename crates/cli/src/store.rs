//! `tidewire store`: a copy of a message store, and a look into it, also while a server runs on it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use tidewire_server::{
    config::{Overrides, load_from_process},
    store::{self, Look},
};

use crate::{exit_codes::exit_codes, output, report::WrongUsage};

/// Copy the message store, or look into it, also while the server runs.
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "The store is that of --data-dir, or of the configuration as `tidewire serve` would read it. While a server runs on ",
    "it, nobody else can open its database; these commands ask the server, which goes on as ever. They have to run on ",
    "the same machine and as a user who can use the data directory.\n\n",
    "EXAMPLES\n",
    "  tidewire store backup /var/backups/tidewire.db --config /etc/tidewire.toml\n",
    "  tidewire store backup copy.db --data-dir /var/lib/tidewire\n",
    "  tidewire store stats --data-dir /var/lib/tidewire\n",
    "  tidewire store stats -c tidewire.toml\n\n",
    "To go on from a copy, put it as mailbox.db into an empty data directory.\n\n",
    exit_codes!()
))]
pub(crate) struct StoreArguments {
    #[command(subcommand)]
    action: Action,
    /// Directory of the message store, instead of the configuration's
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// TOML file with the configuration
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "TIDEWIRE_CONFIG",
        global = true
    )]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Copy the store to a file, which must not exist, and check the copy
    Backup {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Tell how much waits in the store
    Stats,
}

pub(crate) fn run(arguments: &StoreArguments) -> anyhow::Result<ExitCode> {
    let dir = match &arguments.data_dir {
        Some(dir) => dir.clone(),
        None => configured(arguments.config.as_deref())?,
    };
    let text = match &arguments.action {
        Action::Backup { file } => {
            let copied = store::copy(&dir, file)
                .with_context(|| format!("cannot copy the store in {}", dir.display()))?;
            format!("copied     {}\n{}", file.display(), lines(&copied))
        }
        Action::Stats => {
            let look = store::look(&dir)
                .with_context(|| format!("cannot look into the store in {}", dir.display()))?;
            lines(&look)
        }
    };
    output::print(&text).context("cannot write the result")?;
    Ok(ExitCode::SUCCESS)
}

fn configured(file: Option<&Path>) -> anyhow::Result<PathBuf> {
    let settings = load_from_process(file, &Overrides::default())
        .context(WrongUsage("invalid configuration"))?;
    Ok(settings.config.data_dir.into())
}

/// The labels stand in a column.
fn lines(look: &Look) -> String {
    let server = if look.is_in_use { "running" } else { "none" };
    format!(
        "server     {server}\nmessages   {}\nusers      {}\nbytes      {}\nfile bytes {}\n",
        look.messages, look.users, look.bytes, look.file_bytes
    )
}

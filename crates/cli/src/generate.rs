//! `tidewire completions` and `tidewire man`: what shells and `man` know of the commands, from their definition.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{arguments::Arguments, exit_codes::exit_codes, output};

/// Write the completions of a shell to the standard output.
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "EXAMPLES\n",
    "  tidewire completions bash > /usr/share/bash-completion/completions/tidewire\n",
    "  tidewire completions zsh > /usr/share/zsh/vendor-completions/_tidewire\n",
    "  tidewire completions fish > ~/.config/fish/completions/tidewire.fish\n",
    "  tidewire completions powershell | Out-String | Invoke-Expression\n",
    "  source <(tidewire completions bash)                 in this shell alone\n\n",
    exit_codes!()
))]
pub(crate) struct CompletionsArguments {
    /// bash, zsh, fish, powershell or elvish
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Write the man pages, one per command, into a directory.
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "EXAMPLES\n",
    "  tidewire man /usr/local/share/man/man1\n",
    "  tidewire man . && man ./tidewire-serve.1\n\n",
    exit_codes!()
))]
pub(crate) struct ManArguments {
    /// The directory; made when it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(crate) fn completions(arguments: &CompletionsArguments) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "tidewire", &mut script);
    let script = String::from_utf8(script).context("the script is no text")?;
    output::print(&script).context("cannot write the script")?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(arguments: &ManArguments) -> anyhow::Result<ExitCode> {
    let directory = &arguments.directory;
    let failed = || format!("cannot write to {}", directory.display());
    fs::create_dir_all(directory).with_context(failed)?;
    clap_mangen::generate_to(Arguments::command(), directory).with_context(failed)?;
    let text = format!("pages in {}\n", directory.display());
    output::print(&text).context("cannot write the result")?;
    Ok(ExitCode::SUCCESS)
}

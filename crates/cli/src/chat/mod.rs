//! `tidewire chat`: talks to a WebSocket server from a terminal or a script.
//!
//! Three parties with bounded queues between them: the `input` thread reads lines, because a line
//! editor blocks; the `session` holds the connection; the `screen` thread writes, because a
//! terminal may block too. A line is read when the session asks for one by a prompt, which goes
//! through the screen: so what a line has caused is shown before the next prompt.
//!
//! With a terminal at both ends there is line editing, history and a prompt. Otherwise lines are
//! read plainly, no prompt is written, and the end of the input ends the program after the
//! closing handshake: everything the server had to say until then is shown. A script's chat also
//! ends when a connection fails or the server ends it, because the lines that follow were
//! written for that connection.

mod command; // what can be typed while disconnected
mod dialect; // what a line means on the wire
mod target; // where to connect, and how
mod prompt; // what a line is asked for
mod session; // the connection and what is done with it
mod input; // lines in
mod screen; // lines out

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use tidewire_hub::UserId;
use tokio::sync::mpsc;

use self::{input::Input, screen::Screen, session::Session, target::Target};
use crate::{exit_codes::exit_codes, report::WrongUsage};

/// Talk to a WebSocket server.
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "Each line is sent as a text message; __disconnect ends the connection. While disconnected, ",
    "`help` tells what can be done. Received messages are shown as `rcv=> <text>`, their control ",
    "characters escaped. When the input is no terminal, lines are read from it until its end or ",
    "that of the connection, and exit code 1 tells that a connection or message failed.\n\n",
    "EXAMPLES\n",
    "  tidewire chat\n",
    "  tidewire chat ws://127.0.0.1:8085/echo\n",
    "  tidewire chat 'ws://127.0.0.1:8085/chat?id=1' --to 2\n",
    "  tidewire chat wss://example.org/chat --header 'Authorization: Bearer secret'\n",
    "  tidewire chat wss://localhost:8085/echo --ca ca.pem\n",
    "  printf 'hello\\n' | tidewire chat ws://127.0.0.1:8085/echo\n\n",
    exit_codes!()
))]
pub(crate) struct ChatArguments {
    /// Where to connect at once; later, `connect` goes there too
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// Send this HTTP header with every handshake; may be repeated
    #[arg(long, value_name = "NAME: VALUE", value_parser = target::header)]
    header: Vec<(String, String)>,
    /// Trust the certificate authorities in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Wrap each line into a message from the URL's ?id= to this user of a messaging server
    #[arg(long, value_name = "ID", requires = "url")]
    to: Option<UserId>,
}

pub(crate) fn run(arguments: &ChatArguments) -> anyhow::Result<ExitCode> {
    let target = Target::new(
        arguments.url.as_deref(),
        arguments.header.clone(),
        arguments.ca.as_deref(),
        arguments.to.clone(),
    )
    .context(WrongUsage("cannot connect as asked"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;

    let (prompts, asked) = std::sync::mpsc::sync_channel(1);
    let (typed, lines) = mpsc::channel::<Input>(1);
    let (out, is_scripted) = input::start(asked, typed).context("cannot read lines")?;
    let (screen, writer) = Screen::start(out, prompts).context("cannot start a thread")?;

    let session = Session::new(target, screen, lines, is_scripted);
    let outcome = runtime.block_on(session.run());
    // The session has let go of the screen, which therefore ends when all is written.
    writer
        .join()
        .map_err(|_panic| anyhow::anyhow!("the screen's thread panicked"))?
        .context("cannot write")?;
    let failed = outcome.context("cannot read lines")?;
    Ok(if failed && is_scripted {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

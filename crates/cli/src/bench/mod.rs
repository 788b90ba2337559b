//! `tidewire bench`: the benchmark pairs, server and client.

mod arguments; // what can be asked for
mod console; // steps and progress on the terminal, lines typed there
mod cores; // which cores the process may use

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use tidewire_bench::{
    pairs::{
        self, ClientSettings, PairServer, Progress as _, ServerSettings, Silent,
        table::{self, TableSettings},
    },
    process::Usage,
};

pub(crate) use self::arguments::BenchArguments;
use self::{
    arguments::{ClientOutput, Work},
    console::{Console, Steps, Typed},
};
use crate::{output, report::WrongUsage};

pub(crate) fn run(arguments: &BenchArguments) -> anyhow::Result<ExitCode> {
    let work = arguments
        .work()
        .context(WrongUsage("cannot run that benchmark"))?;
    match work {
        Work::Server { settings, cores } => {
            cores::use_only(&cores)?;
            serve(&settings)
        }
        Work::Client {
            settings,
            cores,
            output,
        } => {
            cores::use_only(&cores)?;
            measure(&settings, output)
        }
        Work::Table { settings, output } => tabulate(&settings, output),
    }
}

/// Serves until the end of the input, or an empty line.
fn serve(settings: &ServerSettings) -> anyhow::Result<ExitCode> {
    output::print(&pairs::server_parameters(settings))?;
    let mut console = Console::new();
    let mut server =
        PairServer::start(settings, &mut console).context("cannot start the server")?;
    if settings.port == 0 {
        console.say(&format!("Listening on {}", server.local_addr()));
    }
    console.say("Press Enter to stop the server or '!' to restart the server...");
    loop {
        match console::typed() {
            Typed::Restart => server
                .restart(&mut console)
                .context("cannot start the server again")?,
            Typed::Other => {}
            Typed::End => break,
        }
    }
    let used = Usage::own();
    server.stop(&mut console);
    if let Some(used) = used {
        output::print(&pairs::server_usage(used))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(settings: &ClientSettings, output: ClientOutput) -> anyhow::Result<ExitCode> {
    let result = match output {
        ClientOutput::Text => {
            output::print(&pairs::client_parameters(settings))?;
            pairs::run(settings, &mut Console::new())
        }
        ClientOutput::Json => pairs::run(settings, &mut Silent),
    };
    let report = result.context("the benchmark came to nothing")?;
    let text = match output {
        ClientOutput::Text => report.text(),
        ClientOutput::Json => format!("{:#}\n", report.json()),
    };
    output::print(&text).context("cannot write the result")?;
    if report.errors > 0 {
        bail!("{} errors", report.errors);
    }
    Ok(ExitCode::SUCCESS)
}

fn tabulate(settings: &TableSettings, output: ClientOutput) -> anyhow::Result<ExitCode> {
    let table =
        table::measure(settings, &mut Steps).context(WrongUsage("cannot make the table"))?;
    let text = match output {
        ClientOutput::Text => table.text(),
        ClientOutput::Json => format!("{:#}\n", table.json()),
    };
    output::print(&text).context("cannot write the table")?;
    if table.has_errors() {
        bail!("a scenario failed");
    }
    Ok(ExitCode::SUCCESS)
}

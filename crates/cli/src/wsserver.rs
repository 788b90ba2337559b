//! The program under the name `wsserver`: its command line → that of `tidewire serve`.
//!
//! A link of that name lets units, init scripts and images of the original run as they are. What is wrong ends with 1
//! then, as there, and not with 2.

use std::{ffi::OsString, path::Path, process::ExitCode};

use clap::Parser as _;

use crate::{arguments::Arguments, output, report};

/// Returns whether the program was called by that name.
pub(crate) fn is_called(program: Option<&OsString>) -> bool {
    let name = program.map(Path::new).and_then(Path::file_stem);
    name.is_some_and(|name| name == NAME)
}

/// Runs the program with the arguments behind its name.
pub(crate) fn main(arguments: &[OsString]) -> ExitCode {
    if let [only] = arguments
        && only == "-v"
    {
        let printed = output::print(concat!(env!("CARGO_PKG_VERSION"), "\n"));
        return printed.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let parsed = Arguments::try_parse_from(translated(arguments));
    let answer = match parsed {
        Ok(arguments) => return run(arguments),
        Err(answer) => answer,
    };
    let code = report::usage(&answer);
    if answer.exit_code() == 0 {
        code
    } else {
        ExitCode::FAILURE
    }
}

fn run(arguments: Arguments) -> ExitCode {
    let command = arguments.or_serve();
    if let crate::Command::Serve(arguments) = &command
        && !arguments.has_config()
    {
        report::tell("error: expected --config FILE (-C FILE); --help tells more");
        return ExitCode::FAILURE;
    }
    crate::run(command).unwrap_or_else(|error| {
        // Every failure is 1 there.
        let _ = report::failure(&error);
        ExitCode::FAILURE
    })
}

/// `-?` is `--help`, and `-v` with a number was the level of the log in version 1.
fn translated(arguments: &[OsString]) -> impl Iterator<Item = OsString> {
    let ours = arguments.iter().map(|argument| {
        if argument == "-?" {
            OsString::from("--help")
        } else {
            argument.clone()
        }
    });
    ["tidewire", "serve"]
        .into_iter()
        .map(OsString::from)
        .chain(ours)
}

const NAME: &str = "wsserver";

//! All examples compile, and those that end by themselves are run.

use crate::outcome::Outcome;
use crate::process;
use crate::workspace::Workspace;

/// An example that needs no other program and ends, with arguments that make it short.
/// Examples that listen take the address as their first argument; what starts and calls
/// them stands in the tests of their crate.
struct Run {
    package: &'static str,
    example: &'static str,
    arguments: &'static [&'static str],
}

const RUNS: &[Run] = &[
    Run {
        package: "tidewire-engine",
        example: "enqueue",
        arguments: &["4", "200", "32"],
    },
    Run {
        package: "tidewire",
        example: "gateway_client",
        arguments: &["crates/tidewire/examples/gateway_client/expected_configuration.txt"],
    },
];

pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Outcome> {
    process::run(
        process::cargo()
            .args(["build", "--workspace", "--examples", "--locked"])
            .current_dir(&workspace.root),
    )?;
    for run in RUNS {
        process::run(
            process::cargo()
                .args(["run", "--locked", "--package", run.package])
                .args(["--example", run.example, "--"])
                .args(run.arguments)
                .current_dir(&workspace.root),
        )?;
    }
    Ok(Outcome::Passed)
}

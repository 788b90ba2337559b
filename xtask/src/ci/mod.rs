//! `cargo xtask ci`: exactly what continuous integration runs. [`steps`] is the list, in
//! order; here is what runs it, times it and sums it up.

mod examples; // all build, some run
mod features; // the libraries with every set of features
mod msrv; // the stated oldest compiler
mod setup; // programs that are not Rust's
mod steps; // the list, in order

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use self::steps::{STEPS, Step};
use crate::outcome::Outcome;
use crate::workspace::Workspace;

/// Which steps are run; all of them if nothing is said.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Run this step alone.
    #[arg(long, value_name = "STEP", conflicts_with = "from")]
    only: Option<String>,
    /// Run this step and those after it.
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
    /// Name the steps and run nothing.
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<ExitCode> {
    if options.list {
        for step in STEPS {
            println!("{:<12} {}", step.name, step.purpose);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let steps = select(options)?;
    let mut done: Vec<(&str, Duration, Outcome)> = Vec::new();
    let mut failed = None;
    for step in steps {
        println!("\n== {}: {}", step.name, step.purpose);
        let start = Instant::now();
        match (step.run)(workspace) {
            Ok(outcome) => done.push((step.name, start.elapsed(), outcome)),
            Err(error) => {
                println!("== {} FAILED: {error:#}", step.name);
                failed = Some((step.name, start.elapsed()));
                break;
            }
        }
    }
    println!("\n== summary");
    for (name, duration, outcome) in &done {
        let seconds = duration.as_secs_f64();
        match outcome {
            Outcome::Passed => println!("{name:<12} {seconds:>7.1} s  passed"),
            Outcome::Incomplete(why) => println!("{name:<12} {seconds:>7.1} s  NOT CHECKED: {why}"),
        }
    }
    if let Some((name, duration)) = failed {
        println!("{name:<12} {:>7.1} s  FAILED", duration.as_secs_f64());
    }
    let failed_count = u8::from(failed.is_some());
    for step in steps.iter().skip(done.len() + usize::from(failed_count)) {
        println!("{:<12} {:>9}  not run", step.name, "");
    }
    let passed = |(_, _, outcome): &&(&str, Duration, Outcome)| *outcome == Outcome::Passed;
    let passed_count = done.iter().filter(passed).count();
    let unchecked_count = done.len() - passed_count;
    println!("{passed_count} passed, {unchecked_count} not checked, {failed_count} failed");
    Ok(ExitCode::from(failed_count))
}

fn select(options: &Options) -> anyhow::Result<&'static [Step]> {
    let Some(name) = options.only.as_ref().or(options.from.as_ref()) else {
        return Ok(STEPS);
    };
    let Some(index) = STEPS.iter().position(|step| step.name == *name) else {
        bail!("no step `{name}`; `cargo xtask ci --list` names them");
    };
    let end = if options.only.is_some() {
        index + 1
    } else {
        STEPS.len()
    };
    STEPS.get(index..end).context("the step is in the list")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(only: Option<&str>, from: Option<&str>) -> Option<Vec<&'static str>> {
        let options = Options {
            only: only.map(str::to_owned),
            from: from.map(str::to_owned),
            list: false,
        };
        let steps = select(&options).ok()?;
        Some(steps.iter().map(|step| step.name).collect())
    }

    #[test]
    fn steps_are_selected_by_name() {
        let all = names(None, None).expect("all");
        assert_eq!(all.first(), Some(&"setup"));
        assert_eq!(all.last(), Some(&"conformance"));
        assert_eq!(names(Some("tidy"), None), Some(vec!["tidy"]));
        let tail = names(None, Some("clients")).expect("a step");
        assert_eq!(tail, ["clients", "ledger", "conformance"]);
        assert_eq!(names(Some("lunch"), None), None);
    }
}

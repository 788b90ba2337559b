//! `cargo xtask ci`: exactly what continuous integration runs. [`steps`] is the list, in
//! order; here is what runs it, times it and sums it up.

mod examples; // all build, some run
mod fresh; // as on a new machine
mod features; // the libraries with every set of features
mod msrv; // the stated oldest compiler
mod platforms; // macOS and Windows
mod public_types; // whose types the libraries show
mod readme; // what README tells newcomers to type
mod setup; // programs that are not Rust's
mod steps; // the list, in order

use std::process::ExitCode;
use std::time::{Duration, Instant};

use self::steps::{STEPS, Step};
use crate::misuse::Misuse;
use crate::outcome::Outcome;
use crate::workspace::Workspace;

/// Which steps are run; all of them if nothing is said.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Run these steps alone, in the order of the list: `--only test,deny`, or the option several times.
    #[arg(
        long,
        value_name = "STEP",
        value_delimiter = ',',
        conflicts_with = "from"
    )]
    only: Vec<String>,
    /// Run this step and those after it.
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
    /// Do it as a new machine would: with an empty cargo home, empty caches and an empty target
    /// folder, all temporary [default steps: setup, deny].
    #[arg(long)]
    fresh: bool,
    /// Name the steps and run nothing.
    #[arg(long)]
    list: bool,
}

/// What `--fresh` runs unless told otherwise: what depends on what is installed and fetched, and not on our code.
const FRESH: &str = "setup,deny";

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<ExitCode> {
    if options.list {
        for step in STEPS {
            println!("{:<12} {}", step.name, step.purpose);
        }
        return Ok(ExitCode::SUCCESS);
    }
    // Before anything is built anew for a step that does not exist.
    let steps = select(options)?;
    if options.fresh {
        return fresh::run(workspace, &arguments(options));
    }
    Ok(run_steps(workspace, &steps))
}

/// The selection as arguments of the task that runs anew.
fn arguments(options: &Options) -> [String; 2] {
    match &options.from {
        Some(name) => ["--from".to_owned(), name.clone()],
        None if options.only.is_empty() => ["--only".to_owned(), FRESH.to_owned()],
        None => ["--only".to_owned(), options.only.join(",")],
    }
}

fn run_steps(workspace: &Workspace, steps: &[&'static Step]) -> ExitCode {
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
    ExitCode::from(failed_count)
}

fn select(options: &Options) -> anyhow::Result<Vec<&'static Step>> {
    for name in options.only.iter().chain(&options.from) {
        position(name)?;
    }
    let first = match &options.from {
        Some(name) => position(name)?,
        None => 0,
    };
    let is_meant =
        |step: &&Step| options.only.is_empty() || options.only.iter().any(|name| name == step.name);
    Ok(STEPS.iter().skip(first).filter(is_meant).collect())
}

fn position(name: &str) -> Result<usize, Misuse> {
    let found = STEPS.iter().position(|step| step.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        Misuse(format!(
            "no step `{name}`, expected one of {}",
            names.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(only: &[&str], from: Option<&str>) -> Options {
        Options {
            only: only.iter().copied().map(str::to_owned).collect(),
            from: from.map(str::to_owned),
            ..Options::default()
        }
    }

    fn names(only: &[&str], from: Option<&str>) -> Option<Vec<&'static str>> {
        let steps = select(&options(only, from)).ok()?;
        Some(steps.iter().map(|step| step.name).collect())
    }

    #[test]
    fn steps_are_selected_by_name() {
        let all = names(&[], None).expect("all");
        assert_eq!(all.first(), Some(&"setup"));
        assert_eq!(all.last(), Some(&"conformance"));
        assert_eq!(names(&["tidy"], None), Some(vec!["tidy"]));
        let tail = names(&[], Some("clients")).expect("a step");
        assert_eq!(tail, ["clients", "ledger", "conformance"]);
    }

    #[test]
    fn several_steps_run_once_each_in_the_order_of_the_list() {
        let chosen = names(&["test", "deny", "tidy", "deny"], None);
        assert_eq!(chosen, Some(vec!["tidy", "deny", "test"]));
    }

    #[test]
    fn a_step_that_does_not_exist_is_misuse_and_nothing_runs() {
        for (only, from) in [
            (&["test", "lunch"][..], None),
            (&[], Some("lunch")),
            (&[""], None),
        ] {
            let error = select(&options(only, from)).expect_err("refused");
            assert!(error.is::<Misuse>(), "{error}");
        }
    }

    #[test]
    fn a_fresh_run_is_told_the_same_selection() {
        assert_eq!(arguments(&options(&[], None)), ["--only", FRESH]);
        assert_eq!(
            arguments(&options(&["fmt", "tidy"], None)),
            ["--only", "fmt,tidy"]
        );
        assert_eq!(arguments(&options(&[], Some("test"))), ["--from", "test"]);
        let steps: Vec<&str> = FRESH.split(',').collect();
        assert_eq!(names(&steps, None), Some(steps));
    }
}

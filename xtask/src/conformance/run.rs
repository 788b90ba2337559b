//! All selected cases of one role over one transport, several at a time.
//!
//! In: what the fuzzers say, over one channel. Out: a [`Report`]. Invariant: every way a run can
//! go wrong ends up in the report; none is waited for longer than the limits.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde_json::Value;

use super::fuzzer::{Fuzzer, Said};
use super::subject::{Client, Server, Subject};
use super::suite::{Certificate, Suite};

/// A case says at least this often that it is over; the slowest gives itself 8 minutes.
const SILENCE_LIMIT: Duration = Duration::from_mins(10);

/// How often the client under test is looked after.
const CLIENT_CHECK: Duration = Duration::from_millis(50);

/// From the end of the client under test to that of the last fuzzer.
const LAST_CASES_LIMIT: Duration = Duration::from_secs(20);

/// Which fuzzer says what.
type Voices = Receiver<(usize, Said)>;

/// What is run.
#[derive(Debug)]
pub(super) struct Run<'a> {
    suite: &'a Suite,
    cases: &'a [String],
    jobs: NonZeroUsize,
    certificate: Option<&'a Certificate>,
}

/// What has come out.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Every case that was asked for.
    pub selected: Vec<String>,
    /// Why the run ended early, if it did.
    pub stopped: Option<String>,
    /// From the first case to the last.
    pub seconds: f64,
    /// Per case what the fuzzer said.
    pub results: BTreeMap<String, Value>,
}

impl Report {
    fn new(cases: &[String]) -> Self {
        Self {
            selected: cases.to_vec(),
            ..Self::default()
        }
    }

    pub(super) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        fs::write(file, json).with_context(|| format!("{}", file.display()))
    }

    fn add(&mut self, result: Value) {
        match result.get("case").and_then(Value::as_str) {
            Some(case) => {
                let case = case.to_owned();
                self.results.insert(case, result);
            }
            None => self.stop(format!("the suite said {result}, expected a result")),
        }
    }

    /// The first reason is the one that counts.
    fn stop(&mut self, reason: String) {
        self.stopped.get_or_insert(reason);
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(
        suite: &'a Suite,
        cases: &'a [String],
        jobs: NonZeroUsize,
        certificate: Option<&'a Certificate>,
    ) -> Self {
        Self {
            suite,
            cases,
            jobs,
            certificate,
        }
    }

    /// Tests a server: each fuzzer gets the next case when it is through with one.
    pub(super) fn server(&self, subject: &Subject) -> anyhow::Result<Report> {
        let mut server = Server::start(subject, self.certificate)?;
        let (mut fuzzers, said) = self.start(|| self.suite.test_server(server.url()))?;
        let start = Instant::now();
        let mut report = Report::new(self.cases);
        let mut waiting: VecDeque<&String> = self.cases.iter().collect();
        let mut running = 0;
        for fuzzer in &mut fuzzers {
            running += next_case(fuzzer, &mut waiting)?;
        }
        while running > 0 && report.stopped.is_none() {
            match said.recv_timeout(SILENCE_LIMIT) {
                Ok((index, Said::Result(result))) => {
                    running -= 1;
                    report.add(result);
                    let fuzzer = fuzzers.get_mut(index).context("the fuzzer that said it")?;
                    running += next_case(fuzzer, &mut waiting)?;
                }
                Ok((_, Said::Refused(reason))) => report.stop(reason),
                Ok((_, Said::Nothing)) => report.stop("the suite ended by itself".to_owned()),
                Ok((_, Said::Listening(url))) => report.stop(format!("the suite serves {url}")),
                Err(error) => report.stop(format!("no case has ended for long ({error})")),
            }
        }
        report.seconds = start.elapsed().as_secs_f64();
        if let Err(error) = server.stop() {
            report.stopped = Some(format!("{error:#}"));
        }
        Ok(report)
    }

    /// Tests a client: it asks each fuzzer for one case after the other.
    pub(super) fn client(&self, subject: &Subject) -> anyhow::Result<Report> {
        let (mut fuzzers, said) =
            self.start(|| self.suite.test_client(self.cases, self.certificate))?;
        let urls = listening(&said, fuzzers.len())?;
        let mut client = Client::start(subject, self.certificate, &urls)?;
        let start = Instant::now();
        let mut heard = start;
        let mut report = Report::new(self.cases);
        let mut ended = None;
        let mut speaking = fuzzers.len();
        while speaking > 0 && report.stopped.is_none() {
            match said.recv_timeout(CLIENT_CHECK) {
                Ok((_, Said::Result(result))) => {
                    heard = Instant::now();
                    report.add(result);
                }
                Ok((_, Said::Nothing)) if ended.is_some() => speaking -= 1,
                Ok((_, Said::Nothing)) => report.stop("the suite ended by itself".to_owned()),
                Ok((_, Said::Refused(reason))) => report.stop(reason),
                Ok((_, Said::Listening(url))) => report.stop(format!("the suite serves {url} too")),
                Err(_) if ended.is_none() && heard.elapsed() > SILENCE_LIMIT => {
                    report.stop("no case has ended for long".to_owned());
                }
                Err(_) if ended.is_some_and(|end: Instant| end.elapsed() > LAST_CASES_LIMIT) => {
                    report.stop("the suite does not end".to_owned());
                }
                Err(_) => {}
            }
            if ended.is_none()
                && let Some(outcome) = client.try_wait()
            {
                ended = Some(Instant::now());
                for fuzzer in &mut fuzzers {
                    fuzzer.finish();
                }
                if let Err(error) = outcome {
                    report.stop(format!("{error:#}"));
                }
            }
        }
        report.seconds = start.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Starts a fuzzer per job, and the channel over which they speak.
    fn start(&self, command: impl Fn() -> Command) -> anyhow::Result<(Vec<Fuzzer>, Voices)> {
        let count = self.jobs.get().min(self.cases.len());
        let (sender, receiver) = sync_channel(count);
        let fuzzers = (0..count)
            .map(|index| Fuzzer::start(&mut command(), index, sender.clone()))
            .collect::<anyhow::Result<_>>()?;
        Ok((fuzzers, receiver))
    }
}

/// Gives the fuzzer the next case; returns how many it got.
fn next_case(fuzzer: &mut Fuzzer, waiting: &mut VecDeque<&String>) -> anyhow::Result<usize> {
    let Some(case) = waiting.pop_front() else {
        return Ok(0);
    };
    fuzzer.run(case)?;
    Ok(1)
}

/// The URLs at which the fuzzers listen.
fn listening(said: &Voices, count: usize) -> anyhow::Result<Vec<String>> {
    let mut urls = Vec::new();
    while urls.len() < count {
        match said.recv_timeout(LAST_CASES_LIMIT) {
            Ok((_, Said::Listening(url))) => urls.push(url),
            Ok((_, other)) => bail!("the suite said {other:?}, expected where it listens"),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                bail!("the suite does not get ready");
            }
        }
    }
    Ok(urls)
}

//! The result of a run: as text in the form of `CppServer`'s benchmarks, then what those do not tell; and as JSON.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value, json};

use super::{
    ClientSettings, ServerSettings,
    latency::Latencies,
    scenario::Benchmark,
    units::{DataSize, TimePeriod},
};
use crate::process::Usage;

/// The result of a client.
#[derive(Clone, Debug)]
pub struct ClientReport {
    /// Its task.
    pub settings: ClientSettings,
    /// Errors while measuring: lost connections, wrong answers.
    pub errors: u64,
    /// From before the first connection until the last message.
    pub time: Duration,
    /// Bytes received.
    pub bytes: u64,
    /// Messages received, counted one by one.
    pub messages: u64,
    /// Messages sent for which no answer came (UDP).
    pub lost: u64,
    /// How long answers took.
    pub latencies: Latencies,
    /// The client's process while it measured, if the system tells.
    pub client: Option<Usage>,
    /// The server's process in the same time, if it is on this machine and may be looked at.
    pub server: Option<Usage>,
}

/// The lines that a client prints before it begins.
pub fn client_parameters(settings: &ClientSettings) -> String {
    let mut text = format!(
        "Server address: {}\nServer port: {}\nWorking threads: {}\nWorking clients: {}\n",
        settings.address, settings.port, settings.threads, settings.clients
    );
    if settings.pair.default_in_flight().is_some() {
        line(&mut text, "Working messages", settings.in_flight);
    }
    if settings.pair.has_size() {
        line(&mut text, "Message size", settings.size);
    }
    line(&mut text, "Seconds to benchmarking", settings.seconds);
    text.push('\n');
    text
}

/// The lines that a server prints before it begins.
pub fn server_parameters(settings: &ServerSettings) -> String {
    let mut text = String::new();
    if settings.pair.is_group() {
        line(&mut text, "Server address", &settings.address);
    }
    line(&mut text, "Server port", settings.port);
    line(&mut text, "Working threads", settings.threads);
    if settings.pair.benchmark() == Benchmark::Multicast {
        line(&mut text, "Messages rate", settings.rate);
        line(&mut text, "Message size", settings.size);
    }
    text.push('\n');
    text
}

/// The lines that a server prints when it has ended: what it has used since its start.
pub fn server_usage(usage: Usage) -> String {
    let mut text = String::from("\n");
    line(&mut text, "Server CPU", TimePeriod(usage.cpu));
    line(&mut text, "Server memory", DataSize(usage.resident));
    text
}

impl ClientReport {
    /// Messages in a second.
    pub fn rate(&self) -> u64 {
        self.per_second(self.messages)
    }

    fn per_second(&self, count: u64) -> u64 {
        let nanos = self.time.as_nanos().max(1);
        u64::try_from(u128::from(count) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
    }

    /// The lines after a run, first those of `CppServer` in their order.
    pub fn text(&self) -> String {
        let mut text = format!("\nErrors: {}\n\n", self.errors);
        line(&mut text, "Total time", TimePeriod(self.time));
        line(&mut text, "Total data", DataSize(self.bytes));
        line(&mut text, "Total messages", self.messages);
        let data = DataSize(self.per_second(self.bytes));
        line(&mut text, "Data throughput", format_args!("{data}/s"));
        if let Some(nanos) = self.time.as_nanos().checked_div(self.messages.into()) {
            let each = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            line(&mut text, "Message latency", TimePeriod(each));
            let rate = self.rate();
            line(
                &mut text,
                "Message throughput",
                format_args!("{rate} msg/s"),
            );
        }
        self.add_figures(&mut text);
        text
    }

    /// The lines that `CppServer`'s programs do not print.
    fn add_figures(&self, text: &mut String) {
        text.push('\n');
        if self.lost > 0 {
            line(text, "Lost messages", self.lost);
        }
        if self.latencies.samples() > 0 {
            for (name, part) in QUANTILES {
                let time = TimePeriod(self.latencies.quantile(part));
                line(text, &format!("Round trip {name}"), time);
            }
        }
        let sides = [("Client", self.client), ("Server", self.server)];
        for (side, usage) in sides {
            let Some(usage) = usage else { continue };
            line(text, &format!("{side} CPU"), TimePeriod(usage.cpu));
            line(text, &format!("{side} memory"), DataSize(usage.resident));
        }
        if let Some(rate) = self.server.and_then(|server| self.per_cpu_second(server)) {
            line(text, "Messages per CPU second of the server", rate);
        }
    }

    fn per_cpu_second(&self, usage: Usage) -> Option<u64> {
        let rate = (u128::from(self.messages) * 1_000_000_000).checked_div(usage.cpu.as_nanos())?;
        u64::try_from(rate).ok()
    }

    /// The same, with exact numbers: times in nanoseconds, sizes in bytes.
    pub fn json(&self) -> Value {
        let settings = &self.settings;
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let usage = |usage: Option<Usage>| {
            usage.map(|usage| {
                json!({
                    "cpu_ns": nanos(usage.cpu),
                    "resident_bytes": usage.resident,
                    "messages_per_cpu_second": self.per_cpu_second(usage),
                })
            })
        };
        let round_trip = (self.latencies.samples() > 0).then(|| {
            let times = QUANTILES
                .iter()
                .map(|(name, part)| (format!("{name}_ns"), nanos(self.latencies.quantile(*part))));
            let mut times: serde_json::Map<_, _> =
                times.map(|(name, time)| (name, time.into())).collect();
            times.insert("samples".to_owned(), self.latencies.samples().into());
            times
        });
        json!({
            "benchmark": settings.pair.benchmark().name(),
            "transport": settings.pair.transport().name(),
            "address": settings.address,
            "port": settings.port,
            "threads": settings.threads,
            "clients": settings.clients,
            "in_flight": settings.pair.default_in_flight().map(|_| settings.in_flight),
            "size": settings.pair.has_size().then_some(settings.size),
            "rate": settings.rate,
            "seconds": settings.seconds,
            "errors": self.errors,
            "time_ns": nanos(self.time),
            "bytes": self.bytes,
            "messages": self.messages,
            "messages_per_second": self.rate(),
            "bytes_per_second": self.per_second(self.bytes),
            "lost": self.lost,
            "round_trip": round_trip,
            "client": usage(self.client),
            "server": usage(self.server),
        })
    }
}

fn line(text: &mut String, label: &str, value: impl std::fmt::Display) {
    writeln!(text, "{label}: {value}").expect("a string takes everything");
}

const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("max", 1.0),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::{Pair, Transport, latency::Recorder};

    fn settings(benchmark: Benchmark, transport: Transport) -> ClientSettings {
        let pair = Pair::new(benchmark, transport).expect("there is such a pair");
        ClientSettings {
            pair,
            address: pair.default_address().to_owned(),
            port: transport.default_port(),
            threads: 1,
            clients: 1,
            in_flight: pair.default_in_flight().unwrap_or_default(),
            size: 32,
            seconds: 10,
            messages_total: None,
            rate: None,
            timeout: Duration::from_secs(5),
            interface: "127.0.0.1".to_owned(),
            ca: None,
        }
    }

    fn report(settings: ClientSettings) -> ClientReport {
        ClientReport {
            settings,
            errors: 0,
            time: Duration::from_micros(10_001_138),
            bytes: 56_261_685 * 32,
            messages: 56_261_685,
            lost: 0,
            latencies: Latencies::new(),
            client: None,
            server: None,
        }
    }

    /// The text of `CppServer`'s documentation for its TCP echo benchmark, to the letter.
    #[test]
    fn an_echo_is_reported_as_by_the_original() {
        let settings = settings(Benchmark::Echo, Transport::Tcp);
        let text = client_parameters(&settings) + &report(settings).text();
        assert_eq!(
            text.trim_end(),
            "Server address: 127.0.0.1\nServer port: 1111\nWorking threads: 1\nWorking clients: 1\n\
             Working messages: 1000\nMessage size: 32\nSeconds to benchmarking: 10\n\n\n\
             Errors: 0\n\nTotal time: 10.001 s\nTotal data: 1.692 GiB\nTotal messages: 56261685\n\
             Data throughput: 171.693 MiB/s\nMessage latency: 177 ns\nMessage throughput: 5625528 msg/s"
        );
    }

    #[test]
    fn a_multicast_client_names_no_messages_under_way_and_a_trace_no_size() {
        let multicast = client_parameters(&settings(Benchmark::Multicast, Transport::Udp));
        assert_eq!(
            multicast,
            "Server address: 239.255.0.1\nServer port: 3333\nWorking threads: 1\nWorking clients: 1\n\
             Message size: 32\nSeconds to benchmarking: 10\n\n"
        );
        let trace = client_parameters(&settings(Benchmark::Trace, Transport::Http));
        assert_eq!(
            trace,
            "Server address: 127.0.0.1\nServer port: 8080\nWorking threads: 1\nWorking clients: 1\n\
             Working messages: 1\nSeconds to benchmarking: 10\n\n"
        );
    }

    #[test]
    fn without_messages_there_is_neither_latency_nor_throughput() {
        let mut report = report(settings(Benchmark::Multicast, Transport::Ws));
        (report.messages, report.bytes) = (0, 0);
        let text = report.text();
        assert!(
            text.contains("Total messages: 0\nData throughput: 0 bytes/s\n"),
            "{text}"
        );
        assert!(
            !text.contains("Message latency") && !text.contains("msg/s"),
            "{text}"
        );
    }

    #[test]
    fn a_server_names_what_it_was_told() {
        let server = |benchmark, transport| {
            let pair = Pair::new(benchmark, transport).expect("there is such a pair");
            server_parameters(&ServerSettings {
                pair,
                address: pair.default_address().to_owned(),
                port: transport.default_port(),
                threads: 4,
                rate: 1_000_000,
                size: 32,
                interface: "127.0.0.1".to_owned(),
                identity: None,
            })
        };
        assert_eq!(
            server(Benchmark::Echo, Transport::Tls),
            "Server port: 2222\nWorking threads: 4\n\n"
        );
        assert_eq!(
            server(Benchmark::Multicast, Transport::Ws),
            "Server port: 8080\nWorking threads: 4\nMessages rate: 1000000\nMessage size: 32\n\n"
        );
        assert_eq!(
            server(Benchmark::Multicast, Transport::Udp),
            "Server address: 239.255.0.1\nServer port: 3333\nWorking threads: 4\nMessages rate: 1000000\n\
             Message size: 32\n\n"
        );
    }

    #[test]
    fn what_the_original_does_not_tell_comes_behind() {
        let mut report = report(settings(Benchmark::Echo, Transport::Tcp));
        let recorder = Recorder::new();
        recorder.record(Duration::from_micros(250));
        recorder.add_to(&mut report.latencies);
        report.lost = 3;
        report.server = Some(Usage {
            cpu: Duration::from_millis(9_870),
            resident: 5 << 20,
        });
        let text = report.text();
        let (_, behind) = text
            .split_once("msg/s\n")
            .expect("the original's last line");
        assert!(
            behind.starts_with("\nLost messages: 3\nRound trip p50: 25"),
            "{text}"
        );
        assert!(
            text.ends_with("Server CPU: 9.870 s\nServer memory: 5.000 MiB\nMessages per CPU second of the server: 5700272\n"),
            "{text}"
        );
        let json = report.json();
        assert_eq!(json["messages"], 56_261_685);
        assert_eq!(json["server"]["resident_bytes"], 5 << 20);
        assert_eq!(json["round_trip"]["samples"], 1);
        assert_eq!(json["client"], Value::Null);
    }
}

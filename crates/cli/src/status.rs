//! `tidewire status`: how a running server does.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    exit_codes::exit_codes,
    output,
    remote::{Remote, Rest, block_on},
    report::WrongUsage,
};

/// Tell how a running server does: health, sessions, queues, event targets, memory, rates.
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "Rates are those of the time between two looks at the counters.\n\n",
    "EXAMPLES\n",
    "  tidewire status\n",
    "  tidewire status --interval 10s --config /etc/tidewire.toml\n",
    "  tidewire status --json --url https://chat.example:8092 --ca ca.pem --token token\n",
    "  tidewire status --user admin --password password-file\n\n",
    "A server that is failing is told with the exit code 1, also with --json.\n\n",
    exit_codes!()
))]
pub(crate) struct StatusArguments {
    /// Time over which rates are measured: a number with ms, s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "1s")]
    interval: String,
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// The sums of counters and gauges over their labels.
type Metrics = BTreeMap<String, f64>;

pub(crate) fn run(arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let interval = tidewire_table::parse_duration(&arguments.interval);
    let interval = interval.context(WrongUsage("--interval: expected a time such as 1s"))?;
    let rest = arguments.remote.rest()?;
    let status = block_on(look(&rest, interval))?;
    let text = if arguments.json {
        format!("{status:#}\n")
    } else {
        lines(&status)
    };
    output::print(&text).context("cannot write the result")?;
    Ok(if status["health"]["status"] == "failing" {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

async fn look(rest: &Rest, interval: Duration) -> anyhow::Result<Value> {
    let health = rest.text("/health").await?;
    let health: Value = serde_json::from_str(&health).context("the answer is no JSON")?;
    let events: Value = rest.get("/v1/events").await?;
    let before = metrics(&rest.text("/metrics").await?)?;
    let began = Instant::now();
    tokio::time::sleep(interval).await;
    let after = metrics(&rest.text("/metrics").await?)?;
    let seconds = began.elapsed().as_secs_f64().max(0.001);
    let figure = |name: &str| after.get(name).copied().unwrap_or_default();
    let rate = |name: &str| {
        let earlier = before.get(name).copied().unwrap_or_default();
        (10.0 * (figure(name) - earlier) / seconds).round() / 10.0
    };
    Ok(json!({
        "url": rest.url(),
        "health": health,
        "connections": figure("tidewire_connections"),
        "sessions": figure("tidewire_sessions"),
        "waiting": {
            "messages": figure("tidewire_mailbox_pending_messages"),
            "bytes": figure("tidewire_mailbox_pending_bytes"),
            "users": figure("tidewire_mailbox_pending_users"),
        },
        "memory": {
            "held_bytes": figure("tidewire_memory_held_bytes"),
            "budget_bytes": figure("tidewire_memory_budget_bytes"),
            "trace_bytes": figure("tidewire_trace_bytes"),
        },
        "rates_per_second": {
            "accepted": rate("tidewire_messages_accepted_total"),
            "refused": rate("tidewire_messages_refused_total"),
            "delivered": rate("tidewire_messages_delivered_total"),
            "confirmed": rate("tidewire_messages_confirmed_total"),
            "expired": rate("tidewire_mailbox_expired_total"),
        },
        "events": events,
    }))
}

/// Reads `OpenMetrics` text.
fn metrics(text: &str) -> anyhow::Result<Metrics> {
    let mut found = Metrics::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line
            .rsplit_once(' ')
            .context("the metrics are not readable")?;
        let name = name.split('{').next().unwrap_or(name);
        let value: f64 = value.parse().context("the metrics are not readable")?;
        *found.entry(name.to_owned()).or_default() += value;
    }
    Ok(found)
}

fn lines(status: &Value) -> String {
    let health = &status["health"];
    let reason = match health["reason"].as_str() {
        Some(reason) => format!(": {reason}"),
        None => String::new(),
    };
    let mut lines = vec![
        (
            "server",
            status["url"].as_str().unwrap_or_default().to_owned(),
        ),
        (
            "health",
            format!("{}{reason}", health["status"].as_str().unwrap_or("unknown")),
        ),
        ("connections", number(&status["connections"])),
        ("sessions", number(&status["sessions"])),
    ];
    let waiting = &status["waiting"];
    let (messages, users) = (number(&waiting["messages"]), number(&waiting["users"]));
    let bytes = number(&waiting["bytes"]);
    lines.push((
        "waiting",
        format!("{messages} messages, {bytes} bytes, for {users} users"),
    ));
    let memory = &status["memory"];
    let (held, budget) = (
        number(&memory["held_bytes"]),
        number(&memory["budget_bytes"]),
    );
    lines.push((
        "memory",
        format!("{held} of {budget} bytes held for clients"),
    ));
    let rates = &status["rates_per_second"];
    let rates = ["accepted", "refused", "delivered", "confirmed", "expired"]
        .map(|name| format!("{} {name}", number(&rates[name])));
    lines.push(("a second", rates.join(", ")));
    for target in status["events"]["targets"].as_array().into_iter().flatten() {
        let name = target["name"].as_str().unwrap_or_default();
        let (kind, breaker) = (&target["type"], &target["breaker"]);
        let (pending, dead) = (number(&target["pending"]), number(&target["dead"]));
        let text =
            format!("{name} ({kind}): breaker {breaker}, {pending} pending, {dead} dead letters");
        lines.push(("target", text.replace('"', "")));
    }
    let line = |(label, value): (&str, String)| format!("{label:<12}{value}\n");
    lines.into_iter().map(line).collect::<Vec<_>>().concat()
}

fn number(value: &Value) -> String {
    value.as_f64().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_summed_and_comments_passed_over() {
        let text = "# HELP a b\na_total{reason=\"x y\"} 1\na_total{reason=\"z\"} 2\nb 0.5\n# EOF\n";
        let found = metrics(text).expect("readable");
        assert_eq!((found["a_total"], found["b"]), (3.0, 0.5));
        assert!(metrics("<html>").is_err());
    }
}

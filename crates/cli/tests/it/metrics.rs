//! The metrics of the real programs: as documented, well-formed, and complete.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
};

use tidewire::ws::{Client, WebSocket};

use crate::{
    gateway::{Gateway, backend},
    rest::Rest,
    run,
    server::Home,
};

/// What a scrape says of one metric.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    unit: Option<String>,
    samples: BTreeSet<String>,
    /// Values that labels were seen with, in the order of the labels.
    labels: Vec<(String, Vec<String>)>,
}

/// Labels whose values come from the configuration; those of all others are documented one by one.
const OF_THE_CONFIGURATION: &[(&str, &str)] = &[
    ("target", "name of a target"),
    ("endpoint", "name of an endpoint"),
    ("upstream", "address of an upstream"),
    ("version", "of the program"),
];

/// Values that no scrape of these tests shows.
const ALSO: &[(&str, &[&str])] = &[("dialect", &["pinned", "classic", "mux"])];

/// Reads a scrape, and asserts what promtool asks for besides: names, units, help, no series twice.
fn parse(text: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    let mut series = BTreeSet::new();
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let [what, name, value] = [(); 3].map(|()| words.next().expect("three words"));
            let family = families.entry(name.to_owned()).or_default();
            let place = match what {
                "TYPE" => &mut family.kind,
                "HELP" => &mut family.help,
                "UNIT" => family.unit.get_or_insert_default(),
                other => panic!("{other}"),
            };
            assert!(place.is_empty(), "told twice: {line}");
            value.clone_into(place);
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').expect("a value");
        value.parse::<f64>().expect("a number");
        assert!(series.insert(sample.to_owned()), "twice: {sample}");
        let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
        let family = families
            .get_mut(name.trim_end_matches("_total"))
            .unwrap_or_else(|| panic!("a sample before its metric: {sample}"));
        family.samples.insert(name.to_owned());
        for label in labels
            .trim_end_matches('}')
            .split(',')
            .filter(|it| !it.is_empty())
        {
            let (label, value) = label.split_once('=').expect("a label");
            let value = value.trim_matches('"').to_owned();
            match family.labels.iter_mut().find(|(known, _)| known == label) {
                Some((_, values)) if values.contains(&value) => {}
                Some((_, values)) => values.push(value),
                None => family.labels.push((label.to_owned(), vec![value])),
            }
        }
    }
    for (name, family) in &families {
        lint(name, family);
    }
    families
}

fn lint(name: &str, family: &Family) {
    let is_word = |text: &str| {
        let mut bytes = text.bytes();
        bytes.next().is_some_and(|first| first.is_ascii_lowercase())
            && bytes.all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
    };
    assert!(is_word(name) && name.starts_with("tidewire_"), "{name}");
    assert!(!name.contains("__"), "{name}");
    assert!(!family.help.is_empty(), "{name} has no help");
    // The library ends each text with a full stop.
    assert!(!family.help.ends_with(".."), "{name}: {}", family.help);
    let is_counter = family.kind == "counter";
    assert!(
        is_counter || family.kind == "gauge",
        "{name}: {}",
        family.kind
    );
    for sample in &family.samples {
        assert_eq!(sample.ends_with("_total"), is_counter, "{sample}");
        assert!(sample.starts_with(name), "{sample}");
    }
    for word in name.split('_') {
        let others = [
            "ms",
            "milliseconds",
            "minutes",
            "hours",
            "kb",
            "kib",
            "mib",
            "megabytes",
            "percent",
        ];
        assert!(!others.contains(&word), "{name}: not the base unit");
        assert!(
            !["counter", "gauge", "total", "info"].contains(&word),
            "{name}"
        );
    }
    for unit in ["bytes", "seconds"] {
        let has = family.unit.as_deref() == Some(unit);
        assert_eq!(
            name.ends_with(&format!("_{unit}")),
            has,
            "{name}: unit {:?}",
            family.unit
        );
    }
    for (label, _) in &family.labels {
        assert!(
            is_word(label) && !["le", "quantile", "instance", "job"].contains(&&**label),
            "{name}: {label}"
        );
    }
}

/// The rows that docs/metrics.md should have.
fn rows(families: &BTreeMap<String, Family>) -> BTreeSet<String> {
    families
        .iter()
        .map(|(name, family)| row(name, family))
        .collect()
}

fn row(name: &str, family: &Family) -> String {
    let suffix = if family.kind == "counter" {
        "_total"
    } else {
        ""
    };
    let labels = family.labels.iter().map(|(label, seen)| {
        let of_the_configuration = OF_THE_CONFIGURATION.iter().find(|(it, _)| it == label);
        if let Some((_, meaning)) = of_the_configuration {
            return format!("`{label}`: {meaning}");
        }
        let also = ALSO.iter().find(|(it, _)| it == label);
        let mut values = also.map_or_else(Vec::new, |(_, all)| all.to_vec());
        values.extend(seen.iter().map(String::as_str));
        let mut known = BTreeSet::new();
        values.retain(|value| known.insert(*value));
        format!("`{label}`: {}", values.join(", "))
    });
    let labels: Vec<_> = labels.collect();
    let (kind, labels) = (&family.kind, labels.join("; "));
    let help = family.help.trim_end_matches('.');
    format!("| `{name}{suffix}` | {kind} | {labels} | {help} |").replace("|  |", "| |")
}

fn documented(prefix: &str) -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let text = fs::read_to_string(file).expect("readable");
    let is_gateway = |line: &str| line.starts_with("| `tidewire_gateway_");
    let rows = text.lines().filter(|line| line.starts_with("| `tidewire_"));
    rows.filter(|line| is_gateway(line) == (prefix == "tidewire_gateway_"))
        .map(str::to_owned)
        .collect()
}

fn compare(prefix: &str, scraped: &str) {
    let (found, documented) = (rows(&parse(scraped)), documented(prefix));
    let differing = |these: &BTreeSet<String>, those: &BTreeSet<String>| {
        these
            .difference(those)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    };
    let (missing, stale) = (
        differing(&found, &documented),
        differing(&documented, &found),
    );
    assert!(
        missing.is_empty() && stale.is_empty(),
        "docs/metrics.md has not:\n{missing}\nand should not have:\n{stale}"
    );
}

const TARGET: &str = "[[targets]]\nname = \"journal\"\n[targets.file]\npath = \"events.jsonl\"\n";

/// Promise G4.
#[test]
fn every_metric_of_the_server_is_documented_and_every_documented_one_exists() {
    run(async {
        let home = Home::new(TARGET);
        let server = home.start().await;
        let url = format!("{}?id=1", server.url("messaging"));
        let socket = Client::new(&url).expect("a URL").connect().await;
        let _socket: WebSocket = socket.expect("it listens");
        let mut rest = server.rest().await;
        let answer = rest.get("/metrics").await.expect("it runs");
        compare("tidewire_", &answer.body);
        // What was counted does not come twice under one name either.
        parse(&rest.get("/metrics").await.expect("it runs").body);
        server.stop().await;
    });
}

#[test]
fn every_metric_of_the_gateway_is_documented_and_every_documented_one_exists() {
    run(async {
        let backend = backend("one");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = format!(
            "[admin]\naddress = \"127.0.0.1:0\"\n\
             [endpoints.chat]\nupstreams = [\"ws://{0}/\"]\n\
             [endpoints.process]\nupstreams = [\"ws://{0}/\"]\nprocess.command = [\"sleep\", \"600\"]\n",
            backend.local_addr()
        );
        fs::write(directory.path().join("gateway.toml"), config).expect("writable");
        let mut gateway = Gateway::start_in(Arc::new(directory), "gateway.toml", &[]).await;
        let admin = gateway.admin().await;
        let url = format!("{}?ROUTENAME=chat", gateway.url);
        let socket = Client::new(&url).expect("a URL").connect().await;
        let _socket: WebSocket = socket.expect("it listens");
        let mut rest = Rest::connect(&admin).await.expect("it listens");
        let scraped = loop {
            let scraped = rest.get("/metrics").await.expect("it runs").body;
            if scraped.contains("tidewire_gateway_sessions{") {
                break scraped;
            }
        };
        compare("tidewire_gateway_", &scraped);
        gateway.stop().await;
    });
}

/// Also of the REST listener, where whoever asks is inside already.
#[test]
fn connections_turned_away_are_counted_by_listener() {
    run(async {
        let home = Home::new("[server.limits]\nconnections_max = 1\n");
        let server = home.start().await;
        let mut inside = server.rest().await;
        inside.get("/health").await.expect("it runs");
        for _ in 0..2 {
            let mut outside = server.rest().await;
            // Told, or cut before it could ask.
            if let Ok(answer) = outside.get("/health").await {
                assert_eq!(answer.status, 503);
            }
        }
        let metrics = inside.get("/metrics").await.expect("it runs").body;
        for line in [
            "tidewire_connections_turned_away_total{listener=\"rest\",reason=\"connections_max\"} 2",
            "tidewire_connections_turned_away_total{listener=\"messaging\",reason=\"connections_max\"} 0",
        ] {
            assert!(metrics.contains(line), "{metrics}");
        }
        server.stop().await;
    });
}

/// The words of a file that are metrics of ours.
fn named_in(file: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/grafana");
    let text = fs::read_to_string(path.join(file)).expect("readable");
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_metric = |word: &&str| word.starts_with("tidewire_");
    words.filter(is_metric).map(str::to_owned).collect()
}

#[test]
fn dashboards_and_alerts_use_only_metrics_that_exist() {
    let rows = documented("tidewire_")
        .into_iter()
        .chain(documented("tidewire_gateway_"));
    let name = |row: String| row.split('`').nth(1).map(str::to_owned);
    let known: BTreeSet<String> = rows.filter_map(name).collect();
    for (file, at_least) in [
        ("server.json", 25),
        ("gateway.json", 20),
        ("alerts.yml", 15),
    ] {
        let named = named_in(file);
        assert!(named.len() >= at_least, "{file}: {named:?}");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
        if file.ends_with("json") {
            let path = format!("{}/../../docs/grafana/{file}", env!("CARGO_MANIFEST_DIR"));
            let text = fs::read_to_string(path).expect("readable");
            let dashboard: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            let panels = dashboard["panels"].as_array().expect("panels");
            let ids: BTreeSet<_> = panels.iter().map(|it| it["id"].as_u64()).collect();
            assert_eq!(ids.len(), panels.len(), "{file}: ids of panels");
        }
    }
}

//! `config.ini` as in SocketMaster's README.

use proptest::prelude::*;
use tidewire_gateway::{
    config::Overrides,
    settings::{Resume, Settings},
};

use crate::{Fixture, load_ini};

/// The README's block as it stands there, its prose included (M-06, M-22).
const README: &str = "\
[Endpoint1]
Name = endpoint1
Port = 8080

[Endpoint2]
Name = endpoint2
Port = 9090

Usage

Start SocketMaster by running the following command:

./socketmaster --config config.ini
";

fn ini(text: &str) -> Settings {
    load_ini(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn urls(settings: &Settings) -> Vec<(String, String)> {
    let url = |one: &tidewire_gateway::settings::Upstream| {
        format!("{}{}", one.url.host_header(), one.url.target())
    };
    settings
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.name.clone(), url(&endpoint.upstreams[0])))
        .collect()
}

/// Parity: M-06, M-20, M-22.
#[test]
fn the_readme_loads_verbatim() {
    let settings = ini(README);
    let expected = [
        ("endpoint1", "127.0.0.1:8080/"),
        ("endpoint2", "127.0.0.1:9090/"),
    ];
    assert_eq!(
        urls(&settings),
        expected.map(|(name, url)| (name.to_owned(), url.to_owned()))
    );
    assert_eq!(settings.listeners[0].address.to_string(), "127.0.0.1:8090");
    assert!(settings.classic.enabled && settings.pin_by_name);
    let warnings = &settings.warnings;
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    for (warning, parts) in warnings.iter().zip([
        ["config.ini: line 9: skipped \"Usage\"", "[section]"],
        ["line 11: skipped \"Start SocketMaster by", "key = value"],
        ["line 13: skipped \"./socketmaster", "comment"],
    ]) {
        for part in parts {
            assert!(warning.contains(part), "{warning}");
        }
    }
}

/// Parity: M-21.
#[test]
fn the_title_is_a_further_name_where_it_differs() {
    let settings = ini("[First]\nName = one\nPort = 1\n[TWO]\nName = two\nPort = 2\n[3]\nPort = 3");
    let names: Vec<(&str, &[String])> = settings
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.name.as_str(), endpoint.aliases.as_slice()))
        .collect();
    assert_eq!(
        names,
        [
            ("3", &[] as &[String]),
            ("one", &["First".to_owned()]),
            ("two", &[])
        ]
    );
}

/// Parity: M-20.
#[test]
fn the_reserved_section_is_the_gateway() {
    let text = "[socketmaster]\nhost = *\nPORT = 7000\nWorkers = 3\nBareAck = yes\n\
                Log = server.log\nAdmin = localhost:7001\n[E]\nPort = 1";
    let settings = ini(text);
    assert_eq!(settings.listeners[0].address.to_string(), "0.0.0.0:7000");
    assert_eq!(settings.workers, Some(3));
    assert!(settings.classic.bare_ack);
    assert_eq!(settings.log.file, Some("server.log".into()));
    let admin = settings.admin.expect("it has an address");
    assert_eq!(admin.address.to_string(), "127.0.0.1:7001");
    let host = ini("[SocketMaster]\nHost = ::1\n[E]\nPort = 1");
    assert_eq!(host.listeners[0].address.to_string(), "[::1]:8090");
}

/// Parity: M-20, M-31.
#[test]
fn an_endpoint_tells_where_its_backend_is_and_how_it_is_run() {
    let settings = ini("[A]\nPort = 81\nHost = backend.example\nPath = /ws?x=1\n\
                        [B]\nUrl = wss://b.example/b\n\
                        [C]\nPort = 83\nHost = ::1\nCommand = node \"my server.js\" --port=83\n");
    let found: Vec<String> = urls(&settings).into_iter().map(|(_, url)| url).collect();
    assert_eq!(
        found,
        ["backend.example:81/ws?x=1", "b.example/b", "[::1]:83/"]
    );
    assert!(settings.endpoints[1].upstreams[0].url.is_secure());
    let process = settings.endpoints[2].process.as_ref().expect("a command");
    assert_eq!(process.command, ["node", "my server.js", "--port=83"]);
    assert!(settings.endpoints[0].process.is_none());
}

/// Parity: M-31.
#[test]
fn clients_outlive_their_backend_unless_told_otherwise() {
    let settings = ini("[A]\nPort = 81\n[B]\nPort = 82\nResume = no");
    let within = |resume: &Option<Resume>| resume.as_ref().map(|resume| resume.timeout.as_secs());
    assert_eq!(within(&settings.endpoints[0].resume), Some(30));
    assert_eq!(within(&settings.endpoints[1].resume), None);
}

/// `(text, key, words the message has)`
#[rustfmt::skip] // one mistake, one line
const MISTAKES: &[(&str, &str, &[&str])] = &[
    ("[A]\nPort = http", "line 2: [A] Port", &["found \"http\"", "1 to 65535"]),
    ("[A]\nPort = 0", "line 2: [A] Port", &["found \"0\""]),
    ("[A]\nPort = 65536", "line 2: [A] Port", &["65536"]),
    ("[A]\nPort =", "line 2: [A] Port", &["found \"\""]),
    ("[A]\nName = a", "line 1: [A] Port", &["is missing", "Url"]),
    ("[A]\nPort = 1\nprt = 2", "line 3: [A] prt", &["unknown key", "Name, Port"]),
    ("[A]\nPort = 1\nport = 2", "line 3: [A] port", &["twice", "line 2"]),
    ("Port = 1\n[A]\nPort = 1", "line 1: Port", &["before the first section"]),
    ("[A]\nPort = 1\nHost = a b", "line 3: [A] Host", &["a host name"]),
    ("[A]\nPort = 1\nPath = ws", "line 3: [A] Path", &["begins with /"]),
    ("[A]\nUrl = http://a/", "line 2: [A] Url", &["ws:// or wss://"]),
    ("[A]\nUrl = ws://a/\nPort = 1", "line 2: [A] Url", &["either Url or Host, Port, Path"]),
    ("[A]\nPort = 1\nCommand = \"a", "line 3: [A] Command", &["quotes in pairs"]),
    ("[A]\nPort = 1\nCommand =", "line 3: [A] Command", &["a program"]),
    ("[A]\nPort = 1\nResume = maybe", "line 3: [A] Resume", &["true or false"]),
    ("[A]\nPort = 1\n[B]\nName = a\nPort = 2", "line 4: [B] Name", &["\"a\"", "has too"]),
    ("[A]\nPort = 1\n[A]\nPort = 2", "line 3: [A] Name", &["has too"]),
    ("[A]\nName = b\nPort = 1\n[B]\nName = c\nPort = 2", "endpoints.c.aliases[0]", &["\"B\"", "endpoints.b has too"]),
    ("[A]\nName = syn\nPort = 1", "endpoints.syn", &["found \"syn\"", "handshake"]),
    ("[Ack]\nPort = 1", "endpoints.Ack", &["found \"Ack\""]),
    ("[SYN/ack]\nName = x\nPort = 1", "endpoints.x.aliases[0]", &["SYN/ack"]),
    ("[nack]\nPort = 1", "endpoints.nack", &["NACK"]),
    ("[A]\nName = a,b\nPort = 1", "endpoints.a,b", &["commas"]),
    ("[SocketMaster]\nPort = 1", "endpoints", &["at least one"]),
    ("", "endpoints", &["at least one"]),
    ("[SocketMaster]\nPort = x\n[A]\nPort = 1", "line 2: [SocketMaster] Port", &["0 to 65535"]),
    ("[SocketMaster]\nHost = example.org\n[A]\nPort = 1", "line 2: [SocketMaster] Host", &["an IP address"]),
    ("[SocketMaster]\nWorkers = many\n[A]\nPort = 1", "line 2: [SocketMaster] Workers", &["0 to 1024"]),
    ("[SocketMaster]\nName = x\n[A]\nPort = 1", "line 2: [SocketMaster] Name", &["Host, Port, Workers"]),
    ("[SocketMaster]\nBareAck = 2\n[A]\nPort = 1", "line 2: [SocketMaster] BareAck", &["true or false"]),
    ("[SocketMaster]\nAdmin = *:1\n[A]\nPort = 1", "admin.address", &["reachable from other machines"]),
];

/// Parity: M-25.
#[test]
fn mistakes_are_refused_by_file_line_and_key() {
    for (text, key, words) in MISTAKES {
        let Err(error) = load_ini(text) else {
            panic!("accepted {text}");
        };
        let message = error.to_string();
        let named = format!("config.ini: {key}: ");
        for word in words.iter().copied().chain([named.as_str()]) {
            // Who has no endpoint names no file: the key is nowhere.
            let is_there = message.contains(word)
                || (*key == "endpoints" && word == named && message.contains(": endpoints: "));
            assert!(is_there, "{text}: {message:?} lacks {word:?}");
        }
    }
}

#[test]
fn every_mistake_of_a_file_is_told_at_once() {
    let error = load_ini("x = 1\n[A]\nPort = b\n[B]\nName = c\n[SocketMaster]\nWorkers = -1")
        .expect_err("four mistakes");
    assert_eq!(error.problems().len(), 4, "{error}");
}

#[test]
fn a_file_without_a_telling_name_is_what_it_looks_like() {
    let load = |name: &str, text: &str| Fixture::new(name, text).load(&[], &Overrides::default());
    let toml = "[endpoints.chat]\nupstreams = [\"ws://127.0.0.1:9001/\"]\n";
    for name in ["config.ini", "CONFIG.INI", "config", "config.cfg"] {
        assert_eq!(load(name, README).expect(name).endpoints.len(), 2);
    }
    for name in ["gateway.toml", "gateway", "gateway.conf"] {
        assert_eq!(load(name, toml).expect(name).endpoints.len(), 1);
    }
    let error = load("config.toml", README)
        .expect_err("no TOML")
        .to_string();
    assert!(error.contains("config.toml: line 2"), "{error}");
    let error = load("config", "[endpoints.chat]\nupstreams = x").expect_err("neither");
    assert!(error.to_string().contains("line 2, column 13"), "{error}");
}

#[test]
fn environment_and_flags_go_before_the_file() {
    let fixture = Fixture::new("config.ini", "[SocketMaster]\nPort = 1\n[First]\nPort = 2");
    let variables = [
        ("TIDEWIRE_GATEWAY_LISTEN", "127.0.0.1:3"),
        ("TIDEWIRE_GATEWAY_ENDPOINTS__FIRST__ZONE", "a"),
    ];
    let settings = fixture
        .load(&variables, &Overrides::default())
        .expect("valid");
    assert_eq!(
        settings.listeners[0]
            .address
            .socket_addr()
            .expect("an IP address")
            .port(),
        3
    );
    assert_eq!(settings.endpoints.len(), 1);
    assert_eq!(settings.endpoints[0].zone.as_deref(), Some("a"));
    let flags = Overrides {
        listen: Some("127.0.0.1:4".to_owned()),
        log: Some("a.log".to_owned()),
        verbose: true,
    };
    let settings = fixture.load(&variables, &flags).expect("valid");
    assert_eq!(
        settings.listeners[0]
            .address
            .socket_addr()
            .expect("an IP address")
            .port(),
        4
    );
    assert_eq!(settings.log.file, Some("a.log".into()));
    assert_eq!(settings.log.level, "debug");
}

proptest! {
    /// Whatever a file holds: settings, or problems with its name.
    /// Parity: M-22.
    #[test]
    fn no_text_breaks_the_reader(
        pieces in proptest::collection::vec(
            prop_oneof![
                "(\\[[a-zA-Z/]{0,6}\\]|Name|Port|URL|host|path|command|resume| = |=|[0-9]{1,6})\n?",
                "\\PC{0,12}\n?",
                "\\[SocketMaster\\]\n(Port|Host|Workers|Admin|BareAck|Log) = [*0-9:.a]{0,12}\n",
                "\\[[A-E]\\]\n(name = [a-e]\n)?port = [0-9]{1,5}\n(command = [a-z\"' ]{0,8}\n)?",
            ],
            0..12,
        ),
    ) {
        match load_ini(&pieces.concat()) {
            Ok(settings) => prop_assert!(!settings.endpoints.is_empty()),
            Err(error) => prop_assert!(!error.problems().is_empty()),
        }
    }
}

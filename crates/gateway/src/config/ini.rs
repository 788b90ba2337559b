//! SocketMaster's `config.ini` → keys of ours.
//!
//! In: sections with `Key = value` lines: one section per endpoint, whose title is a further name of it, and the reserved
//! section `[SocketMaster]` for the gateway itself (M-05, M-06, M-20 … M-22). Out: the keys of
//! a layer, warnings about lines that were skipped, and problems with their lines.
//!
//! A reader of our own, because the rule for prose (M-22) is line by line: libraries for INI
//! files stop at the first such line, or take it for a key without a value, and none tells the
//! lines of what it has read.

use std::{collections::BTreeMap, net::IpAddr, path::Path};

use tidewire_config::{Dict, Loader, Rule, Value, quote};

/// The section for the gateway itself, in lower case.
const RESERVED: &str = "socketmaster";
const RESERVED_KEYS: &[&str] = &["Host", "Port", "Workers", "Log", "BareAck", "Admin"];
const ENDPOINT_KEYS: &[&str] = &["Name", "Port", "Host", "Path", "Url", "Command", "Resume"];

/// Whether a text that is no TOML is rather an INI file: a section with one of our keys.
pub(super) fn is_ini(text: &str) -> bool {
    let (sections, _) = sections(text);
    sections.iter().any(|section| {
        section.entries.iter().any(|entry| {
            let mut keys = ENDPOINT_KEYS.iter().chain(RESERVED_KEYS);
            keys.any(|key| key.eq_ignore_ascii_case(entry.key))
        })
    })
}

/// Adds an INI file to the layers and returns what it warns about.
pub(super) fn add(loader: &mut Loader<'_>, path: &Path, text: &str) -> Vec<String> {
    let (sections, skipped) = sections(text);
    let mut reader = Reader {
        loader,
        path,
        endpoints: BTreeMap::new(),
        keys: Dict::new(),
    };
    for section in &sections {
        reader.section(section);
    }
    let Reader {
        endpoints,
        mut keys,
        loader,
        ..
    } = reader;
    keys.insert("endpoints".to_owned(), Value::from(endpoints));
    loader.file(path, keys);
    skipped
        .into_iter()
        .map(|(line, text)| {
            format!(
                "file {}: line {line}: skipped {}: neither [section], key = value nor comment",
                path.display(),
                quote(text)
            )
        })
        .collect()
}

/// A section as written.
#[derive(Debug)]
struct Section<'a> {
    /// Empty before the first header.
    title: &'a str,
    line: usize,
    entries: Vec<Entry<'a>>,
}

#[derive(Debug)]
struct Entry<'a> {
    key: &'a str,
    value: &'a str,
    line: usize,
}

/// The sections, and the lines that are nothing (M-22), with their numbers from 1.
fn sections(text: &str) -> (Vec<Section<'_>>, Vec<(usize, &str)>) {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let mut skipped = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, whole) in (1..).zip(text.lines()) {
        let content = whole.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if let Some(title) = header(content) {
            sections.push(Section {
                title,
                line,
                entries: Vec::new(),
            });
        } else if let Some((key, value)) = entry(content) {
            if sections.is_empty() {
                sections.push(Section {
                    title: "",
                    line,
                    entries: Vec::new(),
                });
            }
            let section = sections.last_mut().expect("there is one by now");
            section.entries.push(Entry { key, value, line });
        } else {
            skipped.push((line, content));
        }
    }
    (sections, skipped)
}

fn header(content: &str) -> Option<&str> {
    let title = content.strip_prefix('[')?.strip_suffix(']')?.trim();
    (!title.is_empty() && !title.contains(['[', ']'])).then_some(title)
}

/// A key is one word, so that prose with an equals sign in it is prose.
fn entry(content: &str) -> Option<(&str, &str)> {
    let (key, value) = content.split_once('=')?;
    let key = key.trim();
    let is_word = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let value = value.trim();
    let unquoted = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .filter(|inner| !inner.contains('"'));
    is_word.then(|| (key, unquoted.unwrap_or(value)))
}

struct Reader<'r, 's> {
    loader: &'r mut Loader<'s>,
    path: &'r Path,
    endpoints: Dict,
    keys: Dict,
}

impl Reader<'_, '_> {
    fn section(&mut self, section: &Section<'_>) {
        let is_reserved = section.title.eq_ignore_ascii_case(RESERVED);
        let known = if is_reserved {
            RESERVED_KEYS
        } else {
            ENDPOINT_KEYS
        };
        if section.title.is_empty() {
            for entry in &section.entries {
                self.missing(
                    entry.line,
                    entry.key,
                    "stands before the first section, expected a line such as [Endpoint1] above it",
                );
            }
            return;
        }
        let mut values: BTreeMap<&'static str, (usize, &str)> = BTreeMap::new();
        for entry in &section.entries {
            let Entry { key, value, line } = *entry;
            let name = full(section.title, key);
            match known.iter().find(|one| one.eq_ignore_ascii_case(key)) {
                None => self.complain(
                    line,
                    &name,
                    Rule::UnknownKey {
                        expected: known.iter().map(|&one| one.to_owned()).collect(),
                    },
                ),
                Some(known) => {
                    if let Some((before, _)) = values.insert(known, (line, value)) {
                        let what = format!("is set twice, first in line {before}");
                        self.missing(line, &name, &what);
                    }
                }
            }
        }
        if is_reserved {
            self.gateway(section, &values);
        } else {
            self.endpoint(section, &values);
        }
    }

    /// `[SocketMaster]`.
    fn gateway(&mut self, section: &Section<'_>, values: &BTreeMap<&'static str, (usize, &str)>) {
        let get = |key: &str| values.get(key).copied();
        if get("Host").is_some() || get("Port").is_some() {
            let host = match get("Host") {
                None | Some((_, "localhost")) => "127.0.0.1",
                Some((_, "*")) => "0.0.0.0",
                Some((line, host)) => {
                    if host.parse::<IpAddr>().is_err() {
                        let name = full(section.title, "Host");
                        self.wrong(line, &name, host, "an IP address, localhost or *");
                    }
                    host
                }
            };
            let port =
                get("Port").map_or(Some(8090), |(line, text)| self.port(section, line, text, 0));
            let host = bracketed(host);
            if let Some(port) = port {
                self.keys
                    .insert("listen".into(), format!("{host}:{port}").into());
            }
        }
        if let Some((line, text)) = get("Workers") {
            if let Ok(workers @ 0..=1024) = text.parse::<u32>() {
                self.keys.insert("workers".into(), workers.into());
            } else {
                let name = full(section.title, "Workers");
                self.wrong(line, &name, text, "0 to 1024");
            }
        }
        if let Some((_, text)) = get("Log") {
            self.table("log", "file", text.into());
        }
        if let Some((line, text)) = get("BareAck")
            && let Some(bare) = self.boolean(section, "BareAck", line, text)
        {
            self.table("classic", "bare_ack", bare.into());
        }
        if let Some((_, text)) = get("Admin") {
            self.table("admin", "address", text.into());
        }
    }

    fn table(&mut self, table: &str, key: &str, value: Value) {
        let mut keys = Dict::new();
        keys.insert(key.to_owned(), value);
        self.keys.insert(table.to_owned(), keys.into());
    }

    /// The section of an endpoint.
    fn endpoint(&mut self, section: &Section<'_>, values: &BTreeMap<&'static str, (usize, &str)>) {
        let get = |key: &str| values.get(key).copied();
        let (line, name) = get("Name").unwrap_or((section.line, section.title));
        let mut keys = Dict::new();
        if !name.eq_ignore_ascii_case(section.title) {
            keys.insert("aliases".into(), vec![section.title].into());
        }
        let Some(url) = self.url(section, values) else {
            return;
        };
        keys.insert("upstreams".into(), vec![url].into());
        if let Some((line, text)) = get("Command") {
            match words(text) {
                Some(command) if !command.is_empty() => {
                    let mut process = Dict::new();
                    process.insert("command".into(), command.into());
                    keys.insert("process".into(), process.into());
                }
                Some(_) | None => {
                    let name = full(section.title, "Command");
                    let expected = "a program and its arguments, quotes in pairs";
                    self.wrong(line, &name, text, expected);
                }
            }
        }
        let resumes = match get("Resume") {
            None => Some(true),
            Some((line, text)) => self.boolean(section, "Resume", line, text),
        };
        if resumes == Some(true) {
            keys.insert("resume".into(), Dict::new().into());
        }
        if let Some(taken) = self
            .endpoints
            .keys()
            .find(|taken| taken.eq_ignore_ascii_case(name))
        {
            let rule = Rule::NameTaken {
                found: quote(name),
                other: format!("the endpoint {}", quote(taken)),
            };
            self.complain(line, &full(section.title, "Name"), rule);
            return;
        }
        self.endpoints.insert(name.to_owned(), keys.into());
    }

    /// `Url`, or what `Host`, `Port` and `Path` make together.
    fn url(
        &mut self,
        section: &Section<'_>,
        values: &BTreeMap<&'static str, (usize, &str)>,
    ) -> Option<String> {
        let get = |key: &str| values.get(key).copied();
        if let Some((line, url)) = get("Url") {
            for key in ["Host", "Port", "Path"] {
                if get(key).is_some() {
                    let what =
                        format!("contradicts {key}: expected either Url or Host, Port, Path");
                    self.missing(line, &full(section.title, "Url"), &what);
                    return None;
                }
            }
            if let Err(error) = tidewire::ws::Url::parse(url) {
                let name = full(section.title, "Url");
                self.wrong(line, &name, url, &format!("an address: {error}"));
                return None;
            }
            return Some(url.to_owned());
        }
        let Some((line, text)) = get("Port") else {
            let what = "is missing: expected the backend's port, or its Url";
            self.missing(section.line, &full(section.title, "Port"), what);
            return None;
        };
        let port = self.port(section, line, text, 1)?;
        let (line, host) = get("Host").unwrap_or((section.line, "127.0.0.1"));
        let (line, path) = get("Path").unwrap_or((line, "/"));
        if !path.starts_with('/') {
            let name = full(section.title, "Path");
            self.wrong(line, &name, path, "a path that begins with /");
            return None;
        }
        let url = format!("ws://{}:{port}{path}", bracketed(host));
        if let Err(error) = tidewire::ws::Url::parse(&url) {
            let expected = format!("parts of an address: {error}");
            self.wrong(line, &full(section.title, "Host"), &url, &expected);
            return None;
        }
        Some(url)
    }

    fn port(&mut self, section: &Section<'_>, line: usize, text: &str, least: u16) -> Option<u16> {
        let port = text.parse::<u16>().ok().filter(|port| *port >= least);
        if port.is_none() {
            let expected = format!("a port from {least} to 65535");
            self.wrong(line, &full(section.title, "Port"), text, &expected);
        }
        port
    }

    fn boolean(
        &mut self,
        section: &Section<'_>,
        key: &str,
        line: usize,
        text: &str,
    ) -> Option<bool> {
        let value = match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        };
        if value.is_none() {
            self.wrong(line, &full(section.title, key), text, "true or false");
        }
        value
    }

    fn wrong(&mut self, line: usize, key: &str, found: &str, expected: &str) {
        let rule = Rule::Value {
            found: quote(found),
            expected: expected.to_owned(),
        };
        self.complain(line, key, rule);
    }

    fn missing(&mut self, line: usize, key: &str, what: &str) {
        let what = what.to_owned();
        self.complain(line, key, Rule::Missing { what });
    }

    fn complain(&mut self, line: usize, key: &str, rule: Rule) {
        self.loader
            .complain(self.path, &format!("line {line}: {key}"), rule);
    }
}

fn full(title: &str, key: &str) -> String {
    format!("[{title}] {key}")
}

/// An IPv6 address as it stands before a port.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// Splits at blanks; single and double quotes keep them. `None` when a quote is not closed.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in text.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            (Some(_) | None, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_told_apart_from_keys_and_sections() {
        let text = "\u{feff}; a comment\n# another\n\n[One]\r\n  Name = one\nUsage\n\
                    Set the = sign wisely\n[broken\n[]\nKey=\"quoted = text\"\n";
        let (sections, skipped) = sections(text);
        let [section] = sections.as_slice() else {
            panic!("{sections:?}");
        };
        assert_eq!((section.title, section.line), ("One", 4));
        let entries: Vec<_> = section
            .entries
            .iter()
            .map(|entry| (entry.line, entry.key, entry.value))
            .collect();
        assert_eq!(entries, [(5, "Name", "one"), (10, "Key", "quoted = text")]);
        let lines: Vec<usize> = skipped.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [6, 7, 8, 9]);
    }

    #[test]
    fn quotes_keep_words_of_a_command_together() {
        for (text, expected) in [
            ("node a.js", Some(vec!["node", "a.js"])),
            ("  sh -c \"a ; b\" ", Some(vec!["sh", "-c", "a ; b"])),
            ("a 'it is' '' b\"c\"", Some(vec!["a", "it is", "", "bc"])),
            ("", Some(vec![])),
            ("a \"b", None),
        ] {
            let found = words(text);
            let found = found
                .as_ref()
                .map(|words| words.iter().map(String::as_str).collect::<Vec<&str>>());
            assert_eq!(found, expected, "{text}");
        }
    }
}

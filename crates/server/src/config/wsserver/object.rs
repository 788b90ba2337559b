//! [`Object`]: a JSON object whose members are read by name, and [`Conversion`]: what has been made of them so far.

use std::{collections::BTreeMap, ops::RangeInclusive};

use tidewire_config::{Dict, Rule, Value};

use super::node::Node;

/// Keys of ours, with where they come from, and what is to be said about them.
#[derive(Debug, Default)]
pub(super) struct Conversion {
    pub(super) keys: Dict,
    /// Key of ours → key of the original.
    pub(super) origins: BTreeMap<String, String>,
    /// Key of the original, and in what it is different here.
    pub(super) notes: Vec<(String, String)>,
    /// The same, where the difference is no surprise: not told at every start.
    pub(super) remarks: Vec<(String, String)>,
    pub(super) problems: Vec<(String, Rule)>,
}

impl Conversion {
    /// Sets the key `ours`, with dots between tables, which comes from `theirs`.
    pub(super) fn set(&mut self, ours: &str, value: impl Into<Value>, theirs: &str) {
        insert(&mut self.keys, ours, value.into());
        self.origins.insert(ours.to_owned(), theirs.to_owned());
    }

    /// Says in what `key` is different here.
    pub(super) fn note(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.notes.push((key.into(), text.into()));
    }

    /// Says in what `key` is different here, to somebody who converts a file.
    pub(super) fn remark(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.remarks.push((key.into(), text.into()));
    }

    /// The text at the key `ours`.
    pub(super) fn text(&self, ours: &str) -> Option<String> {
        let (table, key) = ours.split_once('.')?;
        let Value::Dict(_, keys) = self.keys.get(table)? else {
            return None;
        };
        keys.get(key).and_then(Value::as_str).map(str::to_owned)
    }

    pub(super) fn wrong(&mut self, key: impl Into<String>, found: String, expected: &str) {
        let expected = expected.to_owned();
        self.problems
            .push((key.into(), Rule::Value { found, expected }));
    }

    pub(super) fn missing(&mut self, key: impl Into<String>, what: impl Into<String>) {
        self.problems
            .push((key.into(), Rule::Missing { what: what.into() }));
    }
}

fn insert(table: &mut Dict, path: &str, value: Value) {
    let Some((first, rest)) = path.split_once('.') else {
        table.insert(path.to_owned(), value);
        return;
    };
    let inner = table
        .entry(first.to_owned())
        .or_insert_with(|| Value::from(Dict::new()));
    if let Value::Dict(_, inner) = inner {
        insert(inner, rest, value);
    }
}

/// A JSON object, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Object<'a> {
    /// The path of keys; empty at the top.
    pub(super) at: String,
    members: &'a [(String, Node)],
    /// Its texts are credentials.
    is_secret: bool,
}

impl<'a> Object<'a> {
    /// The object at `at`, if it is one; else that is noted.
    pub(super) fn new(out: &mut Conversion, at: &str, node: &'a Node) -> Option<Self> {
        let Node::Object(members) = node else {
            out.wrong(at, node.described(false), "an object");
            return None;
        };
        let object = Self {
            at: at.to_owned(),
            members,
            is_secret: false,
        };
        let mut seen: Vec<&str> = Vec::new();
        for (name, _) in members {
            if seen.contains(&name.as_str()) {
                out.note(
                    object.key(name),
                    "is there twice: the last one counts, as in wsserver",
                );
            }
            seen.push(name);
        }
        Some(object)
    }

    /// The same, when its texts must not be repeated.
    pub(super) fn secret(self) -> Self {
        Self {
            is_secret: true,
            ..self
        }
    }

    /// The whole name of a member.
    pub(super) fn key(&self, name: &str) -> String {
        if self.at.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.at)
        }
    }

    /// Notes members that nobody knows. Names that begin with `_`, `$`, `#` or `//`, and `comment`, are comments.
    pub(super) fn only(&self, out: &mut Conversion, known: &[&str]) {
        for (name, _) in self.members {
            let is_comment = name.starts_with(['_', '$', '#'])
                || name.starts_with("//")
                || name.eq_ignore_ascii_case("comment");
            if !is_comment && !known.contains(&name.as_str()) {
                let expected = known.iter().map(|known| (*known).to_owned()).collect();
                let rule = Rule::UnknownKey { expected };
                out.problems.push((self.key(name), rule));
            }
        }
    }

    /// The last member of this name.
    pub(super) fn get(&self, name: &str) -> Option<&'a Node> {
        let mut members = self.members.iter().rev();
        members.find_map(|(member, node)| (member == name).then_some(node))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The names and values of all members.
    pub(super) fn members(&self) -> &'a [(String, Node)] {
        self.members
    }

    /// The object within, if it is there and one.
    pub(super) fn object(&self, out: &mut Conversion, name: &str) -> Option<Self> {
        Object::new(out, &self.key(name), self.get(name)?)
    }

    pub(super) fn boolean(&self, out: &mut Conversion, name: &str) -> Option<bool> {
        self.of_type(out, name, Node::boolean, "true or false")
    }

    pub(super) fn text(&self, out: &mut Conversion, name: &str) -> Option<&'a str> {
        self.of_type(out, name, Node::text, "a text in quotes")
    }

    pub(super) fn list(&self, out: &mut Conversion, name: &str) -> Option<&'a [Node]> {
        self.of_type(out, name, Node::list, "a list")
    }

    /// The member of this name, if it is there; another type is noted.
    fn of_type<T>(
        &self,
        out: &mut Conversion,
        name: &str,
        read: impl FnOnce(&'a Node) -> Option<T>,
        expected: &str,
    ) -> Option<T> {
        let node = self.get(name)?;
        let value = read(node);
        if value.is_none() {
            out.wrong(self.key(name), node.described(self.is_secret), expected);
        }
        value
    }

    /// The whole number within, if it is one of `range`.
    pub(super) fn number(
        &self,
        out: &mut Conversion,
        name: &str,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        let node = self.get(name)?;
        let number = node.whole().and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            out.wrong(self.key(name), node.described(self.is_secret), &expected);
        }
        number
    }

    pub(super) fn texts(&self, out: &mut Conversion, name: &str) -> Option<Vec<&'a str>> {
        let items = self.list(out, name)?;
        let mut texts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let Some(text) = item.text() else {
                let key = format!("{}[{index}]", self.key(name));
                out.wrong(key, item.described(self.is_secret), "a text in quotes");
                continue;
            };
            texts.push(text);
        }
        Some(texts)
    }
}

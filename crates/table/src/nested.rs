//! Tables within tables.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, de};

use crate::{Description, Presence, Shape, Table, Value, Violation, join_key, toml_text};

/// A table that always has an effect.
#[derive(Debug)]
pub enum Nested {}

/// A table with a key `enabled`: while that is false, its other keys are not checked.
#[derive(Debug)]
pub enum Switched {}

/// An `Option` of a table with a key `enabled`: without the table, or while that is false, what it configures is
/// off.
#[derive(Debug)]
pub enum OnceThere {}

/// A list of tables: `[[listeners]]`.
#[derive(Debug)]
pub enum Tables {}

/// Tables under names that the operator chooses: `[endpoints.NAME]`.
#[derive(Debug)]
pub enum NamedTables {}

/// Texts under names that the operator chooses.
#[derive(Debug)]
pub enum Texts {}

/// Tables under names.
pub type Members<T> = BTreeMap<String, T>;

impl<T: Table> Value<Nested> for T {
    fn shape() -> Shape {
        Shape::Table(T::describe(), Presence::Always)
    }

    fn show(&self) -> Option<String> {
        None
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer)
    }

    fn violations(&self, at: &str, report: &mut dyn FnMut(Violation)) {
        Table::violations(self, at, report);
    }

    fn entries(&self, at: &str, report: &mut dyn FnMut(String, String)) {
        Table::entries(self, at, report);
    }

    fn differences(&self, other: &Self, at: &str, report: &mut dyn FnMut(String)) {
        Table::differences(self, other, at, report);
    }
}

impl<T: Table> Value<Switched> for T {
    fn shape() -> Shape {
        Shape::Table(T::describe(), Presence::UnlessDisabled)
    }

    fn show(&self) -> Option<String> {
        None
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer)
    }

    fn violations(&self, at: &str, report: &mut dyn FnMut(Violation)) {
        if self.is_enabled() {
            Table::violations(self, at, report);
        }
    }

    fn entries(&self, at: &str, report: &mut dyn FnMut(String, String)) {
        Table::entries(self, at, report);
    }

    fn differences(&self, other: &Self, at: &str, report: &mut dyn FnMut(String)) {
        Table::differences(self, other, at, report);
    }
}

impl<T: Table> Value<OnceThere> for Option<T> {
    fn shape() -> Shape {
        Shape::Table(T::describe(), Presence::OnceThere)
    }

    fn show(&self) -> Option<String> {
        None
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Some)
    }

    fn violations(&self, at: &str, report: &mut dyn FnMut(Violation)) {
        if let Some(table) = self
            && table.is_enabled()
        {
            Table::violations(table, at, report);
        }
    }

    fn entries(&self, at: &str, report: &mut dyn FnMut(String, String)) {
        if let Some(table) = self {
            Table::entries(table, at, report);
        }
    }
}

impl<T: Table> Value<Tables> for Vec<T> {
    fn shape() -> Shape {
        Shape::Tables(T::describe())
    }

    fn show(&self) -> Option<String> {
        None
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }

    fn violations(&self, at: &str, report: &mut dyn FnMut(Violation)) {
        for (index, table) in self.iter().enumerate() {
            Table::violations(table, &format!("{at}[{index}]"), report);
        }
    }

    fn entries(&self, at: &str, report: &mut dyn FnMut(String, String)) {
        for (index, table) in self.iter().enumerate() {
            Table::entries(table, &format!("{at}[{index}]"), report);
        }
    }
}

impl<T: Table> Value<NamedTables> for Members<T> {
    fn shape() -> Shape {
        Shape::Named(T::describe())
    }

    fn show(&self) -> Option<String> {
        None
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }

    fn violations(&self, at: &str, report: &mut dyn FnMut(Violation)) {
        for (name, table) in self {
            Table::violations(table, &join_key(at, name), report);
        }
    }

    fn entries(&self, at: &str, report: &mut dyn FnMut(String, String)) {
        for (name, table) in self {
            Table::entries(table, &join_key(at, name), report);
        }
    }
}

impl Value<Texts> for Members<String> {
    fn shape() -> Shape {
        Shape::Texts
    }

    fn show(&self) -> Option<String> {
        None
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }

    fn entries(&self, at: &str, report: &mut dyn FnMut(String, String)) {
        for (name, text) in self {
            report(join_key(at, name), toml_text(text));
        }
    }
}

/// Says "a table" where serde would say "a map".
struct MembersVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for MembersVisitor<T> {
    type Value = Members<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Members<T>, A::Error> {
        let mut members = Members::new();
        while let Some((name, member)) = map.next_entry()? {
            members.insert(name, member);
        }
        Ok(members)
    }
}

impl Shape {
    /// The table at or within this key, if it is one.
    pub fn description(&self) -> Option<&Description> {
        match self {
            Self::Table(description, _) | Self::Tables(description) | Self::Named(description) => {
                Some(description)
            }
            Self::Boolean
            | Self::Number
            | Self::Size
            | Self::Duration
            | Self::Text
            | Self::List
            | Self::Numbers
            | Self::Words(_)
            | Self::Mixed(_)
            | Self::MixedList(_)
            | Self::Auth
            | Self::Texts => None,
        }
    }
}

//! [`Schema`]: which keys a program has.

use figment::{
    providers::{Format, Toml},
    value::{Dict, Value},
};
use tidewire_table::{Description, Presence, Shape};

use crate::{renamed::Renamed, template};

/// The keys of a program, their defaults and the name of their variables.
#[derive(Clone, Debug)]
pub struct Schema {
    /// How the program's environment variables begin, in upper case, with an underscore at the
    /// end.
    pub prefix: &'static str,
    /// Variables with that prefix that are none of ours: gets the part behind it in lower case.
    /// Variables that Kubernetes and Docker set for services beside the program are left alone anyway.
    pub is_foreign: fn(&str) -> bool,
    /// Every key with a value of its kind, but for tables with names: what a variable's text
    /// becomes. A table within that is empty takes no variables.
    pub keys: Dict,
    /// The weakest layer. May lack what the raw type has a default for.
    pub defaults: Dict,
    /// Tables whose keys are names that the operator chooses (`endpoints`), each with what one of
    /// its members may hold.
    pub named: Vec<(&'static str, Dict)>,
    /// Former names of keys.
    pub(crate) renamed: Renamed,
}

impl Schema {
    /// The keys and defaults that `description` tells.
    ///
    /// # Panics
    /// When a default is not TOML, which a test of every program finds.
    pub fn new(
        prefix: &'static str,
        is_foreign: fn(&str) -> bool,
        description: &Description,
    ) -> Self {
        let mut keys: Dict = Toml::from_str(&template(description, ""))
            .expect("a template is TOML: a test of every program reads it");
        let mut named = Vec::new();
        let mut defaults = keys.clone();
        for key in &description.keys {
            if matches!(key.shape, Shape::Named(_)) {
                let members = keys.remove(key.name).and_then(Value::into_dict);
                let member = members.and_then(|members| members.into_values().next());
                let member = member.and_then(Value::into_dict).unwrap_or_default();
                named.push((key.name, member));
            }
            let is_example = matches!(
                key.shape,
                Shape::Named(_) | Shape::Tables(_) | Shape::Table(_, Presence::OnceThere)
            );
            // As a layer, examples would be there, and what they show off would be switched off.
            if is_example {
                defaults.remove(key.name);
            }
        }
        Self {
            prefix,
            is_foreign,
            keys,
            defaults,
            named,
            renamed: Renamed::of(description),
        }
    }

    /// What a member of the table `key` may hold, if its members have names.
    pub(crate) fn member_of(&self, key: &str) -> Option<&Dict> {
        self.named
            .iter()
            .find_map(|(table, member)| (*table == key).then_some(member))
    }

    /// The path down to the key `auth`, when `path` is at or below one.
    pub(crate) fn auth_table_of<'a>(&self, path: &'a [String]) -> Option<&'a [String]> {
        let is_name = |index: usize| {
            index == 1
                && path
                    .first()
                    .is_some_and(|table| self.member_of(table).is_some())
        };
        let position = path
            .iter()
            .enumerate()
            .position(|(index, key)| key == "auth" && !is_name(index))?;
        path.get(..=position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_authentication_table() {
        let schema = Schema {
            prefix: "X_",
            is_foreign: |_| false,
            keys: Dict::new(),
            defaults: Dict::new(),
            named: vec![("endpoints", Dict::new())],
            renamed: Renamed::default(),
        };
        for (key, table) in [
            ("server.auth.value", Some("server.auth")),
            ("auth", Some("auth")),
            ("endpoints.a.auth.value", Some("endpoints.a.auth")),
            ("endpoints.auth.zone", None),
            ("endpoints.auth.auth.value", Some("endpoints.auth.auth")),
        ] {
            let path = crate::load::split(key);
            let found = schema.auth_table_of(&path).map(|path| path.join("."));
            assert_eq!(found.as_deref(), table, "{key}");
        }
    }
}

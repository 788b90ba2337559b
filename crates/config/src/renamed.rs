//! Former names of keys, so that an old file is told what to write instead.

use tidewire_table::{Description, Shape};

use crate::Rule;

/// Former keys, each with the key of today.
#[derive(Clone, Debug, Default)]
pub(crate) struct Renamed(Vec<Rename>);

#[derive(Clone, Debug)]
struct Rename {
    /// `*` stands for a name of the operator's or an index.
    old: Vec<String>,
    new: Vec<String>,
    /// A value, where it is written with a unit.
    example: Option<String>,
}

impl Renamed {
    pub(crate) fn of(description: &Description) -> Self {
        let mut renamed = Self::default();
        renamed.collect(&[], description);
        renamed
    }

    fn collect(&mut self, at: &[String], description: &Description) {
        for key in &description.keys {
            let path = |name: &str| [at, &[name.to_owned()]].concat();
            for was in &key.was {
                let old = if was.contains('.') {
                    was.split('.').map(str::to_owned).collect()
                } else {
                    path(was)
                };
                let has_unit = matches!(key.shape, Shape::Size | Shape::Duration);
                self.0.push(Rename {
                    old,
                    new: path(key.name),
                    example: key.default.clone().filter(|_| has_unit),
                });
            }
            let mut within = path(key.name);
            if matches!(key.shape, Shape::Tables(_) | Shape::Named(_)) {
                within.push("*".to_owned());
            }
            if let Some(description) = key.shape.description() {
                self.collect(&within, description);
            }
        }
    }

    /// What to say about an unknown key, if it or a table above it is a former one.
    pub(crate) fn rule(&self, path: &[String]) -> Option<Rule> {
        (1..=path.len()).rev().find_map(|length| {
            let path = path.get(..length)?;
            let fits = |pattern: &[String]| {
                pattern.len() == path.len()
                    && pattern
                        .iter()
                        .zip(path)
                        .all(|(one, name)| one == "*" || one == name)
            };
            let found = self.0.iter().find(|rename| fits(&rename.old))?;
            let key = found.new.iter().enumerate().map(|(index, segment)| {
                match (segment.as_str(), path.get(index)) {
                    ("*", Some(name)) => name.as_str(),
                    (segment, _) => segment,
                }
            });
            let key: Vec<&str> = key.collect();
            Some(Rule::Renamed {
                key: key.join("."),
                example: found.example.clone(),
            })
        })
    }
}

//! [`Description`]: what a table tells about its keys.

/// A table of a configuration file.
#[derive(Clone, Debug)]
pub struct Description {
    /// Lines of its documentation.
    pub doc: &'static [&'static str],
    /// Its keys, in the order in which they are declared.
    pub keys: Vec<Key>,
}

/// A key of a table.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Lines of its documentation.
    pub doc: &'static [&'static str],
    /// The kind of its value.
    pub shape: Shape,
    /// The default as TOML; `None` for tables, and for keys that are absent unless written.
    pub default: Option<String>,
    /// The smallest and the largest value, as TOML.
    pub range: Option<(String, String)>,
    /// Former names: in the same table, or with dots from the root.
    pub was: Vec<&'static str>,
    /// A value as TOML for the example file, or the name of a member of [`Shape::Named`].
    pub example: Option<&'static str>,
    /// Whether the example file has the key although it has no default, not only in a comment.
    pub is_shown: bool,
}

/// The kind of a value.
#[derive(Clone, Debug)]
pub enum Shape {
    /// `true` or `false`.
    Boolean,
    /// A whole number, 0 or more.
    Number,
    /// A number of bytes.
    Size,
    /// A length of time.
    Duration,
    /// Any text.
    Text,
    /// A list of texts.
    List,
    /// A list of whole numbers.
    Numbers,
    /// One of these words.
    Words(&'static [&'static str]),
    /// More than one form. The text is a JSON schema.
    Mixed(&'static str),
    /// A list whose items have more than one form. The text is the JSON schema of an item.
    MixedList(&'static str),
    /// An authentication: a table with secrets.
    Auth,
    /// A table whose keys are names, with texts as values.
    Texts,
    /// A table.
    Table(Description, Presence),
    /// A list of tables.
    Tables(Description),
    /// A table whose keys are names, each with a table.
    Named(Description),
}

/// When a table has an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Always.
    Always,
    /// Unless its key `enabled` is false.
    UnlessDisabled,
    /// Once it is there, unless its key `enabled` is false.
    OnceThere,
}

impl Description {
    /// The documentation as paragraphs, each in one line.
    pub fn paragraphs(&self) -> Vec<String> {
        paragraphs(self.doc)
    }

    /// The key with this name.
    pub fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl Key {
    /// A key without range, former names and example.
    pub fn new(
        name: &'static str,
        doc: &'static [&'static str],
        shape: Shape,
        default: Option<String>,
    ) -> Self {
        Self {
            name,
            doc,
            shape,
            default,
            range: None,
            was: Vec::new(),
            example: None,
            is_shown: false,
        }
    }

    /// With a range, as TOML.
    #[must_use]
    pub fn within(mut self, least: Option<String>, most: Option<String>) -> Self {
        self.range = least.zip(most);
        self
    }

    /// With a former name.
    #[must_use]
    pub fn was(mut self, name: &'static str) -> Self {
        self.was.push(name);
        self
    }

    /// With an example.
    #[must_use]
    pub fn example(mut self, example: &'static str) -> Self {
        self.example = Some(example);
        self
    }

    /// With an example that the example file has as it is.
    #[must_use]
    pub fn shown(self, example: &'static str) -> Self {
        Self {
            is_shown: true,
            ..self.example(example)
        }
    }

    /// The documentation as paragraphs, each in one line.
    pub fn paragraphs(&self) -> Vec<String> {
        paragraphs(self.doc)
    }

    /// The range in words, such as `1s to 5m`.
    pub fn range_in_words(&self) -> Option<String> {
        let (least, most) = self.range.as_ref()?;
        Some(format!(
            "{} to {}",
            least.trim_matches('"'),
            most.trim_matches('"')
        ))
    }
}

/// Joins lines; an empty one begins a new paragraph.
fn paragraphs(lines: &[&str]) -> Vec<String> {
    lines
        .split(|line| line.trim().is_empty())
        .filter(|lines| !lines.is_empty())
        .map(|lines| {
            let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
            lines.join(" ")
        })
        .collect()
}

//! [`Value`]: how a value of a key is read, shown and described.

use std::{fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer};

use crate::{Shape, format_duration, format_size, read_duration, read_size};

/// A type that a key can have. `K` tells as what it is written: the same integer may be a count or a [`Size`].
pub trait Value<K>: Sized {
    /// The kind of value, for templates, schemas and environment variables.
    fn shape() -> Shape;

    /// The value as TOML; `None` when it is a table or absent.
    fn show(&self) -> Option<String>;

    /// Deserializes a value.
    ///
    /// # Errors
    /// Those of the deserializer, and when the value is not what [`shape`](Self::shape) tells.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;

    /// Reports the values within this one, which stands at the key `at`, that are out of range.
    fn violations(&self, _at: &str, _report: &mut dyn FnMut(Violation)) {}

    /// Reports the value of the key `at` as TOML, or those of the keys below it; what nobody may see as
    /// [`HIDDEN`](crate::HIDDEN).
    fn entries(&self, at: &str, report: &mut dyn FnMut(String, String)) {
        if let Some(shown) = self.show() {
            report(at.to_owned(), shown);
        }
    }

    /// Reports the keys at or below `at` at which this value and `other`, which is another one, differ.
    fn differences(&self, _other: &Self, at: &str, report: &mut dyn FnMut(String)) {
        report(at.to_owned());
    }
}

/// Written as the type itself is.
#[derive(Debug)]
pub enum Plain {}

/// An integer written as a size: `"64KiB"`.
#[derive(Debug)]
pub enum Size {}

/// An `Option` of which `None` is written as zero: `0`, or `"0s"`.
#[derive(Debug)]
pub enum ZeroIsNone {}

/// An `Option` of which `None` is written as an empty text.
#[derive(Debug)]
pub enum EmptyIsNone {}

/// A value that is out of its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The key with its tables, such as `server.limits.headers_max`.
    pub key: String,
    /// The key alone.
    pub name: &'static str,
    /// The value, as an operator would write it.
    pub found: String,
    /// The range.
    pub expected: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            found,
            expected,
            ..
        } = self;
        write!(f, "{key}: found {found}, expected {expected}")
    }
}

macro_rules! integers {
    ($($type:ty)+) => {$(
        impl Value<Plain> for $type {
            fn shape() -> Shape {
                Shape::Number
            }

            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }

            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::deserialize(deserializer)
            }
        }

        impl Value<Size> for $type {
            fn shape() -> Shape {
                Shape::Size
            }

            fn show(&self) -> Option<String> {
                let text = u64::try_from(*self).map_or_else(|_| self.to_string(), format_size);
                let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
                Some(if is_number { text } else { format!("\"{text}\"") })
            }

            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // What does not fit is out of any range.
                read_size(deserializer).map(|bytes| Self::try_from(bytes).unwrap_or(Self::MAX))
            }
        }
    )+};
}

integers! { u16 u32 u64 usize }

impl Value<Plain> for bool {
    fn shape() -> Shape {
        Shape::Boolean
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

impl Value<Plain> for Duration {
    fn shape() -> Shape {
        Shape::Duration
    }

    fn show(&self) -> Option<String> {
        Some(format!("\"{}\"", format_duration(*self)))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_duration(deserializer)
    }
}

impl Value<Plain> for String {
    fn shape() -> Shape {
        Shape::Text
    }

    fn show(&self) -> Option<String> {
        Some(toml_text(self))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

/// A text that may be absent: that is not the same as empty.
impl Value<Plain> for Option<String> {
    fn shape() -> Shape {
        Shape::Text
    }

    fn show(&self) -> Option<String> {
        self.as_deref().map(toml_text)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Some)
    }
}

impl Value<EmptyIsNone> for Option<String> {
    fn shape() -> Shape {
        Shape::Text
    }

    fn show(&self) -> Option<String> {
        Some(toml_text(self.as_deref().unwrap_or_default()))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|read| (!read.is_empty()).then_some(read))
    }
}

impl Value<EmptyIsNone> for Option<PathBuf> {
    fn shape() -> Shape {
        Shape::Text
    }

    fn show(&self) -> Option<String> {
        let path = self.clone().unwrap_or_default();
        Some(toml_text(&path.to_string_lossy()))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = <Option<String> as Value<EmptyIsNone>>::read(deserializer)?;
        Ok(read.map(PathBuf::from))
    }
}

impl Value<Plain> for Vec<String> {
    fn shape() -> Shape {
        Shape::List
    }

    fn show(&self) -> Option<String> {
        let items: Self = self.iter().map(|text| toml_text(text)).collect();
        Some(format!("[{}]", items.join(", ")))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

impl Value<Plain> for Vec<u16> {
    fn shape() -> Shape {
        Shape::Numbers
    }

    fn show(&self) -> Option<String> {
        let items: Vec<String> = self.iter().map(u16::to_string).collect();
        Some(format!("[{}]", items.join(", ")))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

impl Value<ZeroIsNone> for Option<Duration> {
    fn shape() -> Shape {
        Shape::Duration
    }

    fn show(&self) -> Option<String> {
        self.unwrap_or_default().show()
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_duration(deserializer).map(|read| (!read.is_zero()).then_some(read))
    }
}

macro_rules! optional_counts {
    ($($type:ty)+) => {$(
        impl Value<ZeroIsNone> for Option<$type> {
            fn shape() -> Shape {
                Shape::Number
            }

            fn show(&self) -> Option<String> {
                Some(self.unwrap_or_default().to_string())
            }

            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$type>::deserialize(deserializer).map(|read| (read != 0).then_some(read))
            }
        }

        impl Value<Size> for Option<$type> {
            fn shape() -> Shape {
                Shape::Size
            }

            fn show(&self) -> Option<String> {
                Value::<Size>::show(&self.unwrap_or_default())
            }

            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$type as Value<Size>>::read(deserializer).map(|read| (read != 0).then_some(read))
            }
        }
    )+};
}

optional_counts! { u32 u64 usize }

/// A text as TOML writes it.
pub fn toml_text(text: &str) -> String {
    use fmt::Write as _;
    let mut shown = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => shown.extend(['\\', letter]),
            _ if letter.is_control() => {
                write!(shown, "\\u{:04X}", u32::from(letter)).expect("a text takes all");
            }
            _ => shown.push(letter),
        }
    }
    shown.push('"');
    shown
}

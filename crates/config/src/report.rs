//! From what the configuration library says to a [`Problem`] an operator can act on.
//!
//! Invariant: below an `auth` key, values are described by their type only.

use figment::{
    error::Kind,
    value::{Num, Value},
};

use crate::{Problem, Rule, Schema, layer::Layers};

pub(crate) fn problem_of(error: &figment::Error, layers: &Layers, schema: &Schema) -> Problem {
    let path = error.path.as_slice();
    let is_secret = schema.auth_table_of(path).is_some();
    let found = || match layers.find(path) {
        Some(value) => describe(value, is_secret),
        None => "nothing".to_owned(),
    };
    let rule = match &error.kind {
        Kind::UnknownField(_, expected) => {
            schema
                .renamed
                .rule(path)
                .unwrap_or_else(|| Rule::UnknownKey {
                    expected: expected.iter().map(|key| (*key).to_owned()).collect(),
                })
        }
        Kind::Message(message) if is_secret => Rule::AuthTable {
            message: message.clone(),
        },
        Kind::MissingField(key) if is_secret => Rule::AuthTable {
            message: format!("needs the key `{key}`"),
        },
        Kind::Message(expected) => Rule::Value {
            found: found(),
            expected: expected.clone(),
        },
        Kind::InvalidType(_, expected)
        | Kind::InvalidValue(_, expected)
        | Kind::InvalidLength(_, expected) => Rule::Value {
            found: found(),
            expected: in_words(expected),
        },
        Kind::UnknownVariant(_, choices) if !is_secret => Rule::Value {
            found: found(),
            expected: format!("one of {}", choices.join(", ")),
        },
        Kind::MissingField(key) => Rule::Missing {
            what: format!("needs the key {key}"),
        },
        Kind::DuplicateField(_)
        | Kind::UnknownVariant(..)
        | Kind::ISizeOutOfRange(_)
        | Kind::USizeOutOfRange(_)
        | Kind::Unsupported(_)
        | Kind::UnsupportedKey(..) => Rule::Value {
            found: found(),
            expected: if is_secret {
                "an authentication table".to_owned()
            } else {
                error.kind.to_string()
            },
        },
    };
    Problem {
        sources: layers.sources_of(path),
        key: join(path),
        rule,
    }
}

/// A value as the operator would recognise it, cut to a sensible length.
fn describe(value: &Value, is_secret: bool) -> String {
    match value {
        Value::String(..) | Value::Char(..) if is_secret => "a text".to_owned(),
        Value::Num(..) if is_secret => "a number".to_owned(),
        Value::String(_, text) => quote(text),
        Value::Char(_, letter) => quote(&letter.to_string()),
        Value::Bool(_, value) => value.to_string(),
        Value::Num(_, number) => describe_number(*number),
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(..) => "a list".to_owned(),
    }
}

fn describe_number(number: Num) -> String {
    // A float is shown as one: `1.0` is wrong where `1` is right.
    number
        .to_f64()
        .map(|value| format!("{value:?}"))
        .or_else(|| number.to_i128().map(|value| value.to_string()))
        .or_else(|| number.to_u128().map(|value| value.to_string()))
        .unwrap_or_else(|| "a number".to_owned())
}

/// A text in quotes, control characters escaped, cut to a sensible length.
pub fn quote(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let mut shown: String = text.chars().take(CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// Serde names types; operators know words.
fn in_words(expected: &str) -> String {
    let up_to = |most: u32| format!("a whole number from 0 to {most}");
    match expected {
        "u8" => up_to(u8::MAX.into()),
        "u16" => up_to(u16::MAX.into()),
        "u32" => up_to(u32::MAX),
        "u64" | "u128" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number".to_owned(),
        _ if expected.starts_with("a nonzero ") => "a whole number other than 0".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a character" => "one character in quotes".to_owned(),
        "a map" => "a table".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "a text in quotes".to_owned(),
        "a sequence" => "a list".to_owned(),
        _ if expected.starts_with("struct ") => "a table".to_owned(),
        _ => expected.to_owned(),
    }
}

/// `["a", "b", "0", "c"]` → `a.b[0].c`.
fn join(path: &[String]) -> String {
    let mut key = String::new();
    for segment in path {
        if segment.bytes().all(|byte| byte.is_ascii_digit()) && !segment.is_empty() {
            key.push('[');
            key.push_str(segment);
            key.push(']');
        } else {
            if !key.is_empty() {
                key.push('.');
            }
            key.push_str(segment);
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_in_words() {
        for (of_serde, words) in [
            ("u8", "a whole number from 0 to 255"),
            ("u16", "a whole number from 0 to 65535"),
            ("u32", "a whole number from 0 to 4294967295"),
            ("u64", "a whole number, 0 or more"),
            ("i64", "a whole number"),
            ("a nonzero u32", "a whole number other than 0"),
            ("f64", "a number"),
            ("a map", "a table"),
            ("struct LimitsConfig", "a table"),
            ("a sequence", "a list"),
            ("a string", "a text in quotes"),
            ("a time such as \"5s\"", "a time such as \"5s\""),
        ] {
            assert_eq!(in_words(of_serde), words, "{of_serde}");
        }
    }
}

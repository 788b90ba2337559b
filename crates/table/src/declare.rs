//! [`table!`](crate::table) and what the code it makes calls.

use std::{fmt, marker::PhantomData, ops::RangeInclusive};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed},
};

use crate::{Description, Key, Value, Violation};

/// A struct that is a table of a configuration file; made by [`table!`](crate::table).
pub trait Table: Default + for<'de> Deserialize<'de> {
    /// The names of its keys, in the order in which they are declared.
    const KEYS: &'static [&'static str];

    /// Names, kinds, defaults, ranges and documentation of its keys.
    fn describe() -> Description;

    /// Reports every value out of its range, in tables within this one too, unless they are switched off. `at` is the
    /// key of this table, empty for the root.
    fn violations(&self, at: &str, report: &mut dyn FnMut(Violation));

    /// Reports the value of every key as TOML, down to those in tables within. `at` is the key of this table, empty
    /// for the root. Secrets are not among them, unless an operator has written one where none belongs: see
    /// [`Value::entries`].
    fn entries(&self, at: &str, report: &mut dyn FnMut(String, String));

    /// Reports the keys at which this table and `other` differ, down to those in tables within: `limits.headers_max`.
    /// `at` is the key of this table, empty for the root.
    fn differences(&self, other: &Self, at: &str, report: &mut dyn FnMut(String));

    /// Returns the key `enabled`; true when there is none.
    fn is_enabled(&self) -> bool;
}

/// Declares a struct that is a table of a configuration file.
///
/// Each key is `name: Type as Kind = default, in range, was "old_name", example "TOML";`, with its documentation
/// above. Everything but name and type may be left out: the kind is then [`Plain`](crate::Plain), the default that of
/// the type. An example of a key without a default stands in a comment of the example file; `shown "TOML"` is one
/// that does not. Fields `besides` the keys are not part of the file.
///
/// The struct gets `Clone`, `Debug`, `PartialEq`, `Eq`, `Default`, `Deserialize` (an unknown key is an error, a
/// missing one has its default) and [`Table`].
#[macro_export]
macro_rules! table {
    (
        $(#[doc = $table_doc:literal])*
        $vis:vis struct $table:ident {
            $(
                $(#[doc = $doc:literal])*
                $name:ident : $type:ty $(as $kind:ty)? $(= $default:expr)? $(, in $range:expr)?
                $(, was $was:literal)* $(, example $example:literal)? $(, shown $shown:literal)? ;
            )*
        }
        $(besides {
            $( $(#[doc = $extra_doc:literal])* $extra:ident : $extra_type:ty = $extra_default:expr; )*
        })?
    ) => {
        $(#[doc = $table_doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis struct $table {
            $(
                $(#[doc = $doc])*
                // A table within is documented where it is declared.
                #[doc = ""]
                $(#[doc = ::core::concat!("\n\nDefault: `", ::core::stringify!($default), "`.")])?
                $(#[doc = ::core::concat!("\n\nRange: `", ::core::stringify!($range), "`.")])?
                pub $name: $type,
            )*
            $($( $(#[doc = $extra_doc])* pub $extra: $extra_type, )*)?
        }

        impl ::core::default::Default for $table {
            fn default() -> Self {
                Self {
                    $( $name: $crate::__default!($($default)?), )*
                    $($( $extra: $extra_default, )*)?
                }
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $table {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                struct TableVisitor;

                impl<'de> $crate::serde::de::Visitor<'de> for TableVisitor {
                    type Value = $table;

                    fn expecting(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                        f.write_str("a table")
                    }

                    fn visit_map<A: $crate::serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> ::core::result::Result<$table, A::Error> {
                        let mut table = <$table as ::core::default::Default>::default();
                        let keys = <$table as $crate::Table>::KEYS;
                        while let ::core::option::Option::Some(key) = map.next_key_seed($crate::KnownKey(keys))? {
                            match key {
                                $( ::core::stringify!($name) => {
                                    let kind = $crate::Kind::<$type, $crate::__kind!($($kind)?)>::new();
                                    table.$name = map.next_value_seed(kind)?;
                                } )*
                                _ => ::core::unreachable!("only known keys are read"),
                            }
                        }
                        ::core::result::Result::Ok(table)
                    }
                }

                deserializer.deserialize_struct(
                    ::core::stringify!($table),
                    <Self as $crate::Table>::KEYS,
                    TableVisitor,
                )
            }
        }

        impl $crate::Table for $table {
            const KEYS: &'static [&'static str] = &[$(::core::stringify!($name)),*];

            fn describe() -> $crate::Description {
                let default = <Self as ::core::default::Default>::default();
                $crate::Description {
                    doc: &[$($table_doc),*],
                    keys: ::std::vec![$({
                        let kind = $crate::Kind::<$type, $crate::__kind!($($kind)?)>::new();
                        let key = kind.key(::core::stringify!($name), &[$($doc),*], &default.$name);
                        $( let key = kind.within(key, &($range)); )?
                        $( let key = key.was($was); )*
                        $( let key = key.example($example); )?
                        $( let key = key.shown($shown); )?
                        key
                    }),*],
                }
            }

            fn violations(&self, at: &str, report: &mut dyn ::core::ops::FnMut($crate::Violation)) {
                $(
                    let kind = $crate::Kind::<$type, $crate::__kind!($($kind)?)>::new();
                    let name = ::core::stringify!($name);
                    $( kind.check(at, name, &self.$name, &($range), report); )?
                    kind.violations(at, name, &self.$name, report);
                )*
            }

            fn entries(
                &self,
                at: &str,
                report: &mut dyn ::core::ops::FnMut(::std::string::String, ::std::string::String),
            ) {
                $(
                    let kind = $crate::Kind::<$type, $crate::__kind!($($kind)?)>::new();
                    kind.entries(at, ::core::stringify!($name), &self.$name, report);
                )*
            }

            fn differences(
                &self,
                other: &Self,
                at: &str,
                report: &mut dyn ::core::ops::FnMut(::std::string::String),
            ) {
                $(
                    if self.$name != other.$name {
                        let kind = $crate::Kind::<$type, $crate::__kind!($($kind)?)>::new();
                        let name = ::core::stringify!($name);
                        kind.differences(at, name, &self.$name, &other.$name, report);
                    }
                )*
            }

            fn is_enabled(&self) -> bool {
                $crate::__enabled!(self $($name)*)
            }
        }
    };
}

/// The default of a key, or of its type.
#[doc(hidden)]
#[macro_export]
macro_rules! __default {
    () => {
        ::core::default::Default::default()
    };
    ($default:expr) => {
        $default
    };
}

/// The kind of a key, or [`Plain`](crate::Plain).
#[doc(hidden)]
#[macro_export]
macro_rules! __kind {
    () => {
        $crate::Plain
    };
    ($kind:ty) => {
        $kind
    };
}

/// The field `enabled`, if it is the first one: a switch stands above what it switches.
#[doc(hidden)]
#[macro_export]
macro_rules! __enabled {
    ($self:ident enabled $($name:ident)*) => {
        $self.enabled
    };
    ($self:ident $($name:ident)*) => {
        true
    };
}

/// The path of a key within the table `at`, which is empty for the root.
pub fn join_key(at: &str, name: &str) -> String {
    if at.is_empty() {
        name.to_owned()
    } else {
        format!("{at}.{name}")
    }
}

/// Reads one of the names; another one is an unknown key.
#[derive(Debug)]
pub struct KnownKey(pub &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for KnownKey {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static str, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl de::Visitor<'_> for KnownKey {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<&'static str, E> {
        let mut keys = self.0.iter();
        keys.find(|key| **key == text)
            .copied()
            .ok_or_else(|| E::unknown_field(text, self.0))
    }
}

/// A key's type and kind, for the code of [`table!`](crate::table).
#[derive(Debug)]
pub struct Kind<T, K>(PhantomData<(T, K)>);

impl<T: Value<K>, K> Kind<T, K> {
    /// Stands for the type `T` written as `K`.
    #[expect(clippy::new_without_default, reason = "only the macro makes one")]
    pub fn new() -> Self {
        Self(PhantomData)
    }

    /// Describes a key.
    pub fn key(&self, name: &'static str, doc: &'static [&'static str], default: &T) -> Key {
        Key::new(name, doc, T::shape(), default.show())
    }

    /// Adds a range to a description.
    pub fn within(&self, key: Key, range: &RangeInclusive<T>) -> Key {
        key.within(range.start().show(), range.end().show())
    }

    /// Reports a value that is out of its range.
    pub fn check(
        &self,
        at: &str,
        name: &'static str,
        value: &T,
        range: &RangeInclusive<T>,
        report: &mut dyn FnMut(Violation),
    ) where
        T: PartialOrd,
    {
        if range.contains(value) {
            return;
        }
        let words = |value: &T| {
            let shown = value.show().unwrap_or_default();
            shown.trim_matches('"').to_owned()
        };
        report(Violation {
            key: join_key(at, name),
            name,
            found: words(value),
            expected: format!("{} to {}", words(range.start()), words(range.end())),
        });
    }

    /// Reports what is out of range within a value.
    pub fn violations(&self, at: &str, name: &str, value: &T, report: &mut dyn FnMut(Violation)) {
        value.violations(&join_key(at, name), report);
    }

    /// Reports what is within a value.
    pub fn entries(&self, at: &str, name: &str, value: &T, report: &mut dyn FnMut(String, String)) {
        value.entries(&join_key(at, name), report);
    }

    /// Reports where a value differs from another one.
    pub fn differences(
        &self,
        at: &str,
        name: &str,
        value: &T,
        other: &T,
        report: &mut dyn FnMut(String),
    ) {
        value.differences(other, &join_key(at, name), report);
    }
}

impl<'de, T: Value<K>, K> DeserializeSeed<'de> for Kind<T, K> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::read(deserializer)
    }
}

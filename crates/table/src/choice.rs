//! [`choice!`](crate::choice): a value that is one of some words.

/// Declares an enum whose variants are written as words.
///
/// They are read from strings only: a derived enum would also take numbers and tables from some formats, and so
/// accept `runtime = 1` in silence.
#[macro_export]
macro_rules! choice {
    (
        $(#[$attribute:meta])*
        $vis:vis enum $name:ident {
            $( $(#[$of_variant:meta])* $variant:ident = $word:literal, )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name {
            $( $(#[$of_variant])* $variant, )+
        }

        impl $name {
            /// The words, in order.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word of this value.
            pub fn word(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )+
                }
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                let text = <::std::string::String as $crate::serde::Deserialize>::deserialize(deserializer)?;
                match text.as_str() {
                    $( $word => ::core::result::Result::Ok(Self::$variant), )+
                    _ => ::core::result::Result::Err(
                        <D::Error as $crate::serde::de::Error>::custom($crate::one_of(Self::WORDS)),
                    ),
                }
            }
        }

        impl $crate::Value<$crate::Plain> for $name {
            fn shape() -> $crate::Shape {
                $crate::Shape::Words(Self::WORDS)
            }

            fn show(&self) -> ::core::option::Option<::std::string::String> {
                ::core::option::Option::Some($crate::toml_text(self.word()))
            }

            fn read<'de, D: $crate::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                $crate::serde::Deserialize::deserialize(deserializer)
            }
        }
    };
}

/// `"a", "b" or "c"`, for messages.
pub fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.as_slice() {
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        _ => quoted.concat(),
    }
}

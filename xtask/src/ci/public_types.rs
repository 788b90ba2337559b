//! Which other crates' types the libraries show in their public signatures. Each of them ties our
//! version to theirs: a new major version of theirs is one of ours.
//!
//! rustdoc's JSON knows every public item. The stable compiler writes it when `RUSTC_BOOTSTRAP` is
//! set, which also changes what some build scripts do: a target folder of its own keeps that away from
//! the other steps. Tools that compare two versions (cargo-semver-checks, cargo-public-api) need a
//! published one, and come with the first release.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::outcome::Outcome;
use crate::process;
use crate::workspace::Workspace;

/// A library, and the crates whose types may stand in its public signatures.
struct Library {
    name: &'static str,
    allowed: &'static [&'static str],
}

const LIBRARIES: &[Library] = &[
    Library {
        name: "tidewire-proto",
        allowed: &["bytes"],
    },
    Library {
        name: "tidewire",
        allowed: &[
            "bytes",          // payloads
            "tokio", // streams are its `AsyncRead` and `AsyncWrite`, connections its sockets
            "tidewire_proto", // re-exported as `proto`
            "futures_core", // `Stream`, feature `futures`
            "futures_sink", // `Sink`, feature `futures`
            // Feature `http`:
            "http",           // requests and responses
            "http_body",      // their bodies
            "http_body_util", // `Full`, the body of a static file
            "hyper",          // `Incoming`, the body of a request
            "tower_service",  // what answers
        ],
    },
];

/// The language's own.
const LANGUAGE: &[&str] = &["std", "core", "alloc"];

pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Outcome> {
    let mut problems = Vec::new();
    for library in LIBRARIES {
        let shown = shown_by(&documentation(workspace, library.name)?)?;
        let allowed: BTreeSet<&str> = LANGUAGE.iter().chain(library.allowed).copied().collect();
        for (name, items) in &shown {
            if !allowed.contains(name.as_str()) {
                let items: Vec<&str> = items.iter().map(String::as_str).collect();
                problems.push(format!(
                    "`{}` shows types of `{name}`: {}",
                    library.name,
                    items.join(", ")
                ));
            }
        }
        for name in library.allowed {
            if !shown.contains_key(*name) {
                problems.push(format!(
                    "`{}` shows no type of `{name}` any more: strike it from xtask/src/ci/public_types.rs",
                    library.name
                ));
            }
        }
        let names: Vec<&str> = shown.keys().map(String::as_str).collect();
        println!("{} shows types of {}", library.name, names.join(", "));
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(Outcome::Passed)
}

fn documentation(workspace: &Workspace, library: &str) -> anyhow::Result<Value> {
    let target = workspace.target_directory.join("public-types");
    process::run(
        process::cargo()
            .args(["rustdoc", "--quiet", "--locked", "--lib", "--all-features"])
            .args(["--package", library])
            .args(["--", "-Z", "unstable-options", "--output-format", "json"])
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_DIR", &target)
            .current_dir(&workspace.root),
    )?;
    let path = target.join(format!("doc/{}.json", library.replace('-', "_")));
    let json = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&json).with_context(|| path.display().to_string())
}

/// The crates whose types are shown, each with the items that show one.
fn shown_by(documentation: &Value) -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let table = |name: &'static str| {
        let table = documentation.get(name).and_then(Value::as_object);
        table.with_context(|| format!("rustdoc's JSON has no `{name}`, expected another format"))
    };
    let (index, paths, crates) = (table("index")?, table("paths")?, table("external_crates")?);
    let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for item in index.values().filter(|item| is_ours(item)) {
        let mut ids = Vec::new();
        referred_to(&item["inner"], &mut ids);
        for id in ids {
            let path = paths.get(&id.to_string());
            let of = path.and_then(|path| path["crate_id"].as_u64()).unwrap_or(0);
            let name = crates
                .get(&of.to_string())
                .and_then(|it| it["name"].as_str());
            if let Some(name) = name {
                let items = shown.entry(name.to_owned()).or_default();
                items.insert(described(item));
            }
        }
    }
    Ok(shown)
}

/// What others implement for every type, and the compiler by itself, is not our signature.
fn is_ours(item: &Value) -> bool {
    let implementation = &item["inner"]["impl"];
    item["crate_id"] == 0
        && implementation["blanket_impl"].is_null()
        && implementation["is_synthetic"] != true
}

/// Ids of types and traits: what has a path, or is re-exported.
fn referred_to(value: &Value, ids: &mut Vec<u64>) {
    match value {
        Value::Object(fields) => {
            let is_reference = fields.contains_key("path") || fields.contains_key("source");
            if is_reference && let Some(id) = fields.get("id").and_then(Value::as_u64) {
                ids.push(id);
            }
            for field in fields.values() {
                referred_to(field, ids);
            }
        }
        Value::Array(items) => {
            for item in items {
                referred_to(item, ids);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The name of an item, or the trait and type of an implementation; with its file and line.
fn described(item: &Value) -> String {
    let implementation = &item["inner"]["impl"];
    let name = item["name"].as_str().map_or_else(
        || {
            let of = implementation["trait"]["path"].as_str().unwrap_or("impl");
            let target = &implementation["for"]["resolved_path"]["path"];
            format!("{of} for {}", target.as_str().unwrap_or("a type"))
        },
        str::to_owned,
    );
    let span = &item["span"];
    let file = span["filename"].as_str().unwrap_or_default();
    format!("{name} ({file}:{})", span["begin"][0])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn documentation(inner: &Value) -> Value {
        json!({
            "index": {"1": {"crate_id": 0, "name": "f", "inner": inner, "span": {"filename": "a.rs", "begin": [7, 1]}}},
            "paths": {"9": {"crate_id": 3, "path": ["far", "Thing"]}, "8": {"crate_id": 0, "path": ["near", "Own"]}},
            "external_crates": {"3": {"name": "far"}},
        })
    }

    fn check(inner: &Value, expected: &[&str]) {
        let shown = shown_by(&documentation(inner)).expect("the format");
        let names: Vec<&str> = shown.keys().map(String::as_str).collect();
        assert_eq!(names, expected, "{inner}");
    }

    #[test]
    fn types_of_other_crates_are_found_wherever_they_stand() {
        let thing = json!({"resolved_path": {"path": "Thing", "id": 9, "args": null}});
        check(
            &json!({"function": {"sig": {"inputs": [["it", thing]]}}}),
            &["far"],
        );
        let bound = json!({"trait_bound": {"trait": {"path": "Thing", "id": 9}}});
        check(
            &json!({"struct": {"generics": {"params": [bound]}}}),
            &["far"],
        );
        check(
            &json!({"use": {"source": "far::Thing", "id": 9, "is_glob": false}}),
            &["far"],
        );
        let own = json!({"resolved_path": {"path": "Own", "id": 8}});
        check(&json!({"constant": {"type": own}}), &[]);
        check(&json!({"module": {"items": [9]}}), &[]);
    }

    #[test]
    fn implementations_of_others_for_every_type_do_not_count() {
        let of = json!({"path": "Thing", "id": 9});
        check(
            &json!({"impl": {"trait": of, "is_synthetic": false, "blanket_impl": null}}),
            &["far"],
        );
        check(
            &json!({"impl": {"trait": of, "is_synthetic": true, "blanket_impl": null}}),
            &[],
        );
        check(
            &json!({"impl": {"trait": of, "is_synthetic": false, "blanket_impl": {"generic": "T"}}}),
            &[],
        );
    }

    #[test]
    fn another_format_is_an_error() {
        assert!(shown_by(&json!({"index": {}})).is_err());
    }

    #[test]
    fn an_item_is_named_with_its_place() {
        let shown = shown_by(&documentation(&json!({"use": {"source": "far", "id": 9}})));
        let items = &shown.expect("the format")["far"];
        assert!(items.contains("f (a.rs:7)"), "{items:?}");
    }
}

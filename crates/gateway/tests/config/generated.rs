//! What is made from the keys and checked in: the reference page and the JSON schema.

use std::path::Path;

use tidewire_config::contract;
use tidewire_gateway::config::{json_schema, reference};

#[test]
fn the_reference_page_and_the_schema_are_generated_from_the_keys() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let page = docs.join("gateway/configuration.md");
    let schema = docs.join("gateway/configuration.schema.json");
    contract::generated_files_are_fresh(&page, &schema, &reference(), &json_schema());
}

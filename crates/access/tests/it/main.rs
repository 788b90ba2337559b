//! Gates with real services behind them.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod key_servers; // keys that are fetched, rotated, missing
mod remotes; // services that say yes, no, nothing, or nonsense
mod service; // a service that answers as it is told

use tidewire_access::Gate;
use tidewire_auth::{AuthConfig, NoLookup};

fn gate(table: &serde_json::Value) -> Gate {
    let config: AuthConfig = serde_json::from_value(table.clone()).unwrap();
    Gate::new(config.resolve(&NoLookup).unwrap()).unwrap()
}

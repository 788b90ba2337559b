//! The embedded registry keeps the contract.

use std::sync::Arc;

use tidewire_engine::{Registry, contract::RegistryAdapter, embedded::LocalRegistry};

tidewire_engine::registry_contract!(contract, super::Local);

struct Local(Arc<LocalRegistry>);

impl RegistryAdapter for Local {
    fn open() -> Self {
        Self(Arc::default())
    }

    fn registry(&self) -> Arc<dyn Registry> {
        Arc::<LocalRegistry>::clone(&self.0)
    }
}

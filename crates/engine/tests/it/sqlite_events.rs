//! The outbox of the embedded store.

use std::sync::Arc;

use tempfile::TempDir;
use tidewire_engine::{
    Mailbox, Outbox, OutboxConfig, SqliteMailbox, contract::OutboxAdapter, embedded::Config,
};

use crate::sqlite::open;

struct Sqlite {
    store: Arc<SqliteMailbox>,
    config: Config,
    _dir: Arc<TempDir>,
}

tidewire_engine::outbox_contract!(contract, crate::sqlite_events::Sqlite);

impl OutboxAdapter for Sqlite {
    fn open(outbox: OutboxConfig) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let mut config = Config::new(dir.path());
        config.reserve_bytes = 0;
        config.user_bytes_max = 1 << 20;
        config.outbox = outbox;
        Self {
            store: open(&config),
            config,
            _dir: Arc::new(dir),
        }
    }

    fn reopen(self) -> Self {
        self.store.stop();
        let store = open(&self.config);
        Self { store, ..self }
    }

    fn outbox(&self) -> Arc<dyn Outbox> {
        Arc::clone(&self.store) as Arc<dyn Outbox>
    }

    fn mailbox(&self) -> Arc<dyn Mailbox> {
        Arc::clone(&self.store) as Arc<dyn Mailbox>
    }
}

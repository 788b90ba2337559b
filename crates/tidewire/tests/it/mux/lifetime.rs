//! The runtime of a connection.

use tidewire::mux::{Lost, OpenError, RecvError};

use super::script::{start, within};

#[test]
fn a_connection_whose_runtime_is_gone_fails_everybody_who_waits() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let first = runtime();
    let (gateway, mut socket) = first.block_on(within(async {
        let (gateway, mut script) = start().await;
        let socket = script.open(&gateway, 1, 65_536).await;
        (gateway, socket)
    }));
    drop(first);
    runtime().block_on(within(async {
        assert!(matches!(gateway.closed().await, Lost::Runtime));
        let error = socket.recv().await.unwrap_err();
        assert!(matches!(error, RecvError::Lost(Lost::Runtime)), "{error}");
        let error = gateway.endpoint("a").await.unwrap_err();
        assert!(matches!(error, OpenError::Lost(Lost::Runtime)), "{error}");
    }));
}

//! The loop that owns a running gateway: reloads, hands over, stops.
//!
//! In: requests, changed files, a successor. Out: the gateway's end. One thing at a time; a stop does not
//! wait for any of them.

use std::sync::Arc;

use crate::{
    error::causes,
    lifecycle::{
        control::{ReloadResult, Requests},
        running::{Event, Observer, Running},
        watch::Watch,
    },
    settings::Settings,
};

/// Reads the configuration; may block. The error is for the operator.
pub type Load = Box<dyn Fn() -> Result<Settings, String> + Send + Sync>;

impl Running {
    /// Tells `observer` what happens from now on, instead of who was told until now.
    pub fn observe(&mut self, observer: Observer) {
        self.observer = observer;
    }

    /// Does what is asked for until a stop is, or until a successor has taken over; then
    /// [stops](Self::stop). With [`watch`](Settings::watch) the configuration is also read again when its
    /// [files](Settings::files) change. Returns whether all sessions ended in time.
    ///
    /// # Cancel safety
    /// Not cancel safe: when dropped, connections are cut.
    pub async fn operate(mut self, mut requests: Requests, load: Load) -> bool {
        let load = Arc::new(load);
        let stop = requests.stop().clone();
        let mut watch = Watch::new(watched(&self));
        let mut is_handed_over = false;
        loop {
            tokio::select! {
                biased;
                () = stop.started() => break,
                successor = self.handover.successor() => {
                    let handed = tokio::select! {
                        handed = self.hand_over(successor) => handed,
                        () = stop.started() => break,
                    };
                    if handed {
                        is_handed_over = true;
                        break;
                    }
                }
                reloads = requests.next() => {
                    let outcome = tokio::select! {
                        outcome = self.load_and_reload(&load) => outcome,
                        () = stop.started() => break,
                    };
                    for reload in reloads {
                        reload.answer(&outcome);
                    }
                    watch.follow(&watched(&self));
                }
                () = watch.changed() => {
                    tokio::select! {
                        _told = self.load_and_reload(&load) => {}
                        () = stop.started() => break,
                    }
                    watch.follow(&watched(&self));
                }
            }
        }
        drop(requests); // nobody waits for an answer now
        if !is_handed_over {
            (self.observer)(Event::Stopping);
        }
        self.stop().await
    }

    /// Reads the configuration again and takes it; logs what comes of it.
    async fn load_and_reload(&self, load: &Arc<Load>) -> ReloadResult {
        (self.observer)(Event::Reloading);
        // Whatever becomes of the rest: the file may have been rotated.
        self.gateway.sessions.log().reopen();
        let load = Arc::clone(load);
        let loaded = tokio::task::spawn_blocking(move || load()).await;
        let loaded = loaded.unwrap_or_else(|_panic| Err("reading the configuration failed".into()));
        let outcome = loaded.and_then(|settings| {
            let reloaded = self.reload(settings);
            reloaded.map_err(|error| causes(&error))
        });
        let told = match outcome {
            Ok(reloaded) => {
                tracing::info!(%reloaded, "the configuration was read again");
                Ok(reloaded.to_string())
            }
            Err(error) => {
                tracing::error!(error, "not reloaded: the old configuration stays in use");
                Err(error)
            }
        };
        let told_as = told.as_ref().map(String::as_str).map_err(String::as_str);
        (self.observer)(Event::Reloaded(told_as));
        told
    }
}

fn watched(running: &Running) -> Vec<std::path::PathBuf> {
    let table = running.gateway.table();
    if table.settings.watch {
        table.settings.files.clone()
    } else {
        Vec::new()
    }
}

//! A store whose events go to the targets of a configuration.

use std::{borrow::Cow, sync::Arc};

use tempfile::TempDir;
use tidewire_auth::NoLookup;
use tidewire_config::{Checker, Source};
use tidewire_engine::{Mailbox, Outbox, SqliteMailbox, embedded::Config};
use tidewire_hub::{
    Draft, EventSelection, Hub, JsonText, Ports, Publication, Settings as HubSettings,
};
use tidewire_notify::{EventsConfig, Notifier, Settings, TargetConfig, check};

pub(crate) struct Feed {
    pub(crate) notifier: Notifier,
    hub: Arc<Hub>,
    _store: Arc<SqliteMailbox>,
    _dir: TempDir,
}

impl Feed {
    /// `target` is a target as JSON, without its name.
    pub(crate) fn start(target: &str) -> Self {
        let mut target: TargetConfig = serde_json::from_str(target).unwrap();
        "target".clone_into(&mut target.name);
        let mut checker = Checker::new(&NoLookup, &|_| vec![Source::Default]);
        let settings = check(&mut checker, &EventsConfig::default(), &[target]);
        let settings = checker.finish(settings).unwrap();
        Self::of(&settings)
    }

    fn of(settings: &Settings) -> Self {
        let dir = TempDir::new().unwrap();
        let mut config = Config::new(dir.path());
        config.reserve_bytes = 0;
        config.outbox = settings.outbox.clone();
        let store = SqliteMailbox::open(config).unwrap();
        let outbox: Arc<dyn Outbox> = Arc::<SqliteMailbox>::clone(&store);
        let render = Arc::new(|message: &Publication| message.text_json().to_owned());
        let notifier = Notifier::start(settings, &outbox, render).unwrap();
        let mailbox: Arc<dyn Mailbox> = Arc::<SqliteMailbox>::clone(&store);
        let mut ports = Ports::new(mailbox);
        ports.outbox = Some(outbox);
        let hub = tidewire_hub::Config {
            events: EventSelection::clone(&settings.selection),
            ..tidewire_hub::Config::default()
        };
        Self {
            notifier,
            hub: Hub::with_ports(HubSettings::try_from(hub).unwrap(), ports),
            _store: store,
            _dir: dir,
        }
    }

    /// Sends a text; returns once it is stored.
    pub(crate) async fn say(&self, sender: &str, text: &str) {
        let mut recipients = self.hub.settings().recipients();
        recipients.add("9".parse().unwrap());
        let recipients = recipients.finish().unwrap();
        let literal = format!("\"{text}\"");
        let draft = Draft {
            kind: JsonText::from_literal("\"text\"").unwrap(),
            sender: sender.parse().unwrap(),
            recipients,
            text: JsonText::from_literal(&literal).unwrap(),
            data: Cow::Borrowed("null"),
            timestamp: None,
            reference: None,
        };
        let (stored, answer) = tokio::sync::oneshot::channel();
        let done = Box::new(move |outcome| drop(stored.send(outcome)));
        self.hub.submit_api(draft, done).unwrap();
        answer.await.unwrap().unwrap();
    }

    /// Waits until the target has all there is.
    pub(crate) async fn delivered(&self, events: u64) {
        let targets = self.notifier.targets();
        while targets.status()[0].counts.delivered < events {
            tokio::task::yield_now().await;
        }
    }
}

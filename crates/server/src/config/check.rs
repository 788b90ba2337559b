//! [`Config`] → [`Settings`].
//!
//! Every rule that is broken is noted and checking goes on, so that one run tells everything.

use tidewire_auth::{AuthConfig, Lookup};
use tidewire_config::{Checker, ConfigError, LIST_LENGTH_MAX, Source, quote};

use super::{
    AllowedOrigins, Config, ListenerSettings, Settings, TlsConfig,
    agree::agreement,
    single::{endpoint, time_zone, tls},
};

impl Config {
    /// Checks every rule and looks up references to secrets.
    ///
    /// # Errors
    /// Every broken rule. The source of all values is called the default, because where this
    /// configuration came from is not known here; [`load`](super::load) knows.
    pub fn check(&self, lookup: &dyn Lookup) -> Result<Settings, ConfigError> {
        let mut checker = Checker::new(lookup, &|_| vec![Source::Default]);
        let settings = self.check_with(&mut checker);
        checker.finish(settings)
    }

    /// [`check`](Self::check) with a checker that knows the sources. `None` only when it noted
    /// something.
    pub(super) fn check_with(&self, check: &mut Checker<'_>) -> Option<Settings> {
        check.ranges("", self);
        if self.data_dir.is_empty() {
            check.value("data_dir", &quote(""), "a directory");
        }
        let server = &self.server;
        endpoint(check, &server.endpoint);
        let allowed_origins = check
            .origins("server.allowed_origins", &server.allowed_origins)
            .map_or(AllowedOrigins::Any, AllowedOrigins::Only);
        let messaging = listener(check, "server", &server.listen, &server.tls, &server.auth);
        let rest = Some(&self.rest).filter(|rest| rest.enabled);
        let rest =
            rest.and_then(|rest| listener(check, "rest", &rest.listen, &rest.tls, &rest.auth));
        let chat = &self.chat;
        types(
            check,
            "chat.send_back_ignored_types",
            &chat.send_back_ignored_types,
        );
        types(check, "chat.live_only_types", &chat.live_only_types);
        time_zone(check, &chat.time_zone);
        check.log_level("log.level", &self.log.level);
        agreement(
            check,
            self,
            messaging.as_ref(),
            rest.as_ref(),
            &allowed_origins,
        );
        let mut settings = Settings {
            config: self.clone(),
            server: messaging?,
            rest,
            allowed_origins,
            warnings: Vec::new(),
        };
        settings.warnings = settings.dangers();
        Some(settings)
    }
}

fn listener(
    check: &mut Checker<'_>,
    table: &str,
    listen: &str,
    files: &TlsConfig,
    auth: &AuthConfig,
) -> Option<ListenerSettings> {
    let listen = check.listen(&format!("{table}.listen"), listen, "127.0.0.1:8085");
    let tls = tls(check, &format!("{table}.tls"), files);
    let auth = check.auth(&format!("{table}.auth"), auth);
    Some(ListenerSettings {
        listen: listen?,
        tls,
        auth: auth?,
    })
}

/// A list of message types is compared one by one.
fn types(check: &mut Checker<'_>, key: &str, types: &[String]) {
    if types.len() > LIST_LENGTH_MAX {
        let found = format_args!("{} types", types.len()).to_string();
        check.value(key, &found, "at most 256");
    }
}

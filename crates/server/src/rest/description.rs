//! The API's description: `/openapi.json` and the Swagger UI, both inside the binary.
//!
//! In: the handlers' own types, and how the listener asks for credentials. Out: what tools and people read. Addresses
//! in it are relative, so that it holds behind a proxy that serves the API under a path of its own.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tidewire_auth::{AuthConfig, SourceConfig};
use utoipa::{
    OpenApi,
    openapi::{
        PathItem, RefOr, SecurityRequirement, Server,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::Config;

use super::{
    Rest, blocks, configuration,
    error::RestError,
    events, handlers, mailboxes, overview, purging,
    schema::{
        BlockedAnswer, BlocksAnswer, DisconnectedAnswer, Health, LiftedAnswer, OnlineAnswer,
        Payload, PurgedAnswer, SentAnswer, SessionsAnswer, StatAnswer, StatsAnswer, UnknownAnswer,
    },
    sending, sessions, trace,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidewire REST API",
        description = "Send messages to users, see who is online, read statistics. A user id is an unsigned 64-bit number or a string."
    ),
    paths(
        handlers::stats,
        handlers::stat,
        handlers::check_online,
        sending::send_message,
        purging::delete_messages,
        sessions::sessions,
        sessions::disconnect,
        blocks::blocks,
        blocks::block,
        blocks::lift,
        events::events,
        events::list,
        events::forget,
        events::replay,
        trace::of_message,
        trace::of_user,
        mailboxes::mailboxes,
        mailboxes::messages,
        overview::status,
        configuration::config,
        handlers::status,
        handlers::health,
        handlers::metrics
    ),
    components(schemas(
        RestError,
        Health,
        Payload,
        SentAnswer,
        UnknownAnswer,
        PurgedAnswer,
        SessionsAnswer,
        DisconnectedAnswer,
        BlocksAnswer,
        BlockedAnswer,
        LiftedAnswer,
        events::EventsStatus,
        events::TargetState,
        events::Letters,
        events::Letter,
        events::Removed,
        events::Replayed,
        trace::MessageTrace,
        trace::RecipientTrace,
        trace::StepTrace,
        trace::UserTrace,
        trace::WaitingMessage,
        mailboxes::Mailboxes,
        mailboxes::MailboxData,
        mailboxes::WaitingMessages,
        mailboxes::WaitingData,
        overview::StatusData,
        configuration::ConfigData,
        StatsAnswer,
        StatAnswer,
        OnlineAnswer
    ))
)]
struct Description;

/// `/openapi.json` and `/swagger-ui/`.
pub(super) fn router(auth: &AuthConfig) -> Router<Rest> {
    let api = Arc::new(description(auth));
    let config = Arc::new(Config::from("../openapi.json"));
    let file = move |path: Option<Path<String>>| {
        let name = path.map_or_else(String::new, |Path(name)| name);
        std::future::ready(swagger_file(&name, Arc::clone(&config)))
    };
    let to_folder = || async { (StatusCode::SEE_OTHER, [(header::LOCATION, "swagger-ui/")]) };
    Router::new()
        .route(
            "/openapi.json",
            get(|| async move { Json(api.as_ref().clone()) }),
        )
        .route("/swagger-ui", get(to_folder))
        .route("/swagger-ui/", get(file.clone()))
        .route("/swagger-ui/{*file}", get(file))
}

fn swagger_file(name: &str, config: Arc<Config<'static>>) -> Response {
    let Ok(Some(file)) = utoipa_swagger_ui::serve(name, config) else {
        return RestError::not_found().into_response();
    };
    let fields = [(header::CONTENT_TYPE, file.content_type)];
    let mut response = (fields, file.bytes.into_owned()).into_response();
    if file.gzpipped {
        let gzip = HeaderValue::from_static("gzip");
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, gzip);
    }
    response
}

/// The description of a listener that asks for credentials by `auth`.
fn description(auth: &AuthConfig) -> utoipa::openapi::OpenApi {
    let mut api = Description::openapi();
    add_samples(&mut api);
    // Relative to the description itself.
    api.servers = Some(vec![Server::new("./")]);
    let ways = ways(auth);
    if ways.iter().any(|way| !way.is_empty()) {
        let components = api.components.get_or_insert_default();
        for (name, scheme) in ways.iter().flatten() {
            components.add_security_scheme(name.clone(), scheme.clone());
        }
        let requirement = |way: &Way| {
            let names = way.iter().map(|(name, _)| name);
            names.fold(SecurityRequirement::default(), |all, name| {
                all.add(name.clone(), Vec::<String>::new())
            })
        };
        api.security = Some(ways.iter().map(requirement).collect());
    }
    api
}

/// Gives each error its own sample: the schema, which all share, has but one.
fn add_samples(api: &mut utoipa::openapi::OpenApi) {
    let operations = api.paths.paths.values_mut().flat_map(|path| {
        let PathItem {
            get, post, delete, ..
        } = path;
        [get, post, delete].into_iter().flatten()
    });
    for (status, response) in operations.flat_map(|it| it.responses.responses.iter_mut()) {
        let (Ok(status @ 400..), RefOr::T(response)) = (status.parse::<u16>(), response) else {
            continue;
        };
        let is_other = status == 504 || response.description.starts_with("failing");
        if let Some(RefOr::T(content)) = response.content.get_mut("application/json")
            && !is_other
        {
            let message = &response.description;
            content.example = Some(json!({"message": message, "status": status, "success": false}));
        }
    }
}

/// Schemes that let in together, by their names.
type Way = Vec<(String, SecurityScheme)>;

/// The ways to be let in, any of which does. What is nested deeply has more of them than a tool can show: the first
/// ones are told.
fn ways(auth: &AuthConfig) -> Vec<Way> {
    let one = |name: String, scheme| vec![vec![(name, scheme)]];
    let http = |scheme| SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build());
    match auth {
        AuthConfig::Basic { .. } => one("basic".to_owned(), http(HttpAuthScheme::Basic)),
        AuthConfig::Bearer { .. } | AuthConfig::Jwt(_) => {
            one("bearer".to_owned(), http(HttpAuthScheme::Bearer))
        }
        AuthConfig::Remote(remote) => match &remote.source {
            SourceConfig::Basic => one("basic".to_owned(), http(HttpAuthScheme::Basic)),
            SourceConfig::Header(name) => one(
                format!("header-{name}"),
                SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(name))),
            ),
            SourceConfig::Cookie(name) => one(
                format!("cookie-{name}"),
                SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(name))),
            ),
            SourceConfig::Bearer | SourceConfig::BearerInQuery(_) | _ => {
                one("bearer".to_owned(), http(HttpAuthScheme::Bearer))
            }
        },
        AuthConfig::Header { name, .. } => one(
            format!("header-{name}"),
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(name))),
        ),
        AuthConfig::Cookie { name, .. } => one(
            format!("cookie-{name}"),
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(name))),
        ),
        AuthConfig::OneOf { types } => types.iter().flat_map(ways).take(WAYS_MAX).collect(),
        AuthConfig::AllOf { types } => types.iter().fold(vec![Way::new()], |together, auth| {
            let ways = ways(auth);
            let pairs = together
                .iter()
                .flat_map(|way| ways.iter().map(move |other| [&way[..], other].concat()));
            pairs.take(WAYS_MAX).collect()
        }),
        // Everybody passes; a kind that is not known here is left to the answers.
        AuthConfig::NoAuth | AuthConfig::Certificate { .. } | _ => vec![Way::new()],
    }
}

const WAYS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn security(auth: &str) -> (Value, Value) {
        let auth: AuthConfig = serde_json::from_str(auth).unwrap();
        let api = serde_json::to_value(description(&auth)).unwrap();
        let schemes = api["components"]["securitySchemes"].clone();
        (api["security"].clone(), schemes)
    }

    #[test]
    fn the_description_tells_how_to_be_let_in() {
        assert_eq!(security(r#"{"type":"noauth"}"#), (Value::Null, Value::Null));
        let basic = r#"{"type":"basic","user":"u","password":"p"}"#;
        let (requirement, schemes) = security(basic);
        assert_eq!(requirement, json!([{"basic": []}]));
        assert_eq!(
            schemes,
            json!({"basic": {"type": "http", "scheme": "basic"}})
        );
        let bearer = r#"{"type":"bearer","value":"t"}"#;
        let key = r#"{"type":"header","name":"X-Key","value":"k"}"#;
        let cookie = r#"{"type":"cookie","name":"sid","value":"c"}"#;
        let either = format!(r#"{{"type":"oneOf","types":[{bearer},{cookie}]}}"#);
        let (requirement, schemes) = security(&either);
        assert_eq!(requirement, json!([{"bearer": []}, {"cookie-sid": []}]));
        assert_eq!(
            schemes["cookie-sid"],
            json!({"type": "apiKey", "in": "cookie", "name": "sid"})
        );
        let both = format!(r#"{{"type":"allOf","types":[{key},{either}]}}"#);
        let (requirement, schemes) = security(&both);
        let expected = json!([
            {"bearer": [], "header-X-Key": []},
            {"cookie-sid": [], "header-X-Key": []}
        ]);
        assert_eq!(requirement, expected);
        assert_eq!(
            schemes["header-X-Key"],
            json!({"type": "apiKey", "in": "header", "name": "X-Key"})
        );
    }

    #[test]
    fn health_needs_no_credentials() {
        let api = serde_json::to_value(Description::openapi()).unwrap();
        assert_eq!(api["paths"]["/health"]["get"]["security"], json!([{}]));
    }
}

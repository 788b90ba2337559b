//! `/`: a page that tells where to find what.

use axum::response::{Html, IntoResponse, Response};
use tidewire::http::protect_page;

/// The links are relative, so that they hold behind a proxy that serves this under a path of its own.
const PAGE: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>Tidewire REST API</title>
</head>
<body>
<h1>Tidewire REST API</h1>
<ul>
<li><a href=\"swagger-ui/\">Try it out</a> (Swagger UI)</li>
<li><a href=\"openapi.json\">Description for programs</a> (OpenAPI)</li>
<li><a href=\"health\">Health</a></li>
<li><a href=\"metrics\">Metrics</a> (OpenMetrics; with credentials where the server asks for some)</li>
<li><a href=\"stats\">Statistics of all users</a> (likewise)</li>
</ul>
</body>
</html>
";

/// The page loads nothing.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) async fn index() -> Response {
    let mut response = Html(PAGE).into_response();
    protect_page(response.headers_mut(), CONTENT_SECURITY_POLICY);
    response
}

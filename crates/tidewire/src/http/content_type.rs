//! The media type of a file, by its name.

use http::HeaderValue;

/// Returns the media type for a file of this name or path, for `Content-Type`: by its extension, with `charset=utf-8` where
/// the type is text; `application/octet-stream` for one that is not known. Upper and lower case are alike.
///
/// ```
/// use tidewire::http::content_type;
///
/// assert_eq!(content_type("www/index.html"), "text/html; charset=utf-8");
/// assert_eq!(content_type("api.yaml"), "application/yaml");
/// assert_eq!(content_type("font.woff2"), "font/woff2");
/// assert_eq!(content_type("README"), "application/octet-stream");
/// ```
pub fn content_type(name: &str) -> HeaderValue {
    let file_name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let extension = file_name
        .rsplit_once('.')
        .map_or("", |(_, extension)| extension);
    // The table has an older name of this one, from before RFC 9512.
    if ["yaml", "yml"]
        .iter()
        .any(|yaml| extension.eq_ignore_ascii_case(yaml))
    {
        return HeaderValue::from_static("application/yaml");
    }
    let known = mime_guess::from_ext(extension).first_raw();
    let known = known.unwrap_or("application/octet-stream");
    // RFC 9239 leaves one name for JavaScript, modules included; RFC 8081 has names for fonts.
    let known = match known {
        "application/javascript" => "text/javascript",
        "application/font-woff" => "font/woff",
        "application/x-font-ttf" => "font/ttf",
        "application/vnd.ms-opentype" | "application/x-font-otf" => "font/otf",
        other => other,
    };
    if !is_text(known) {
        return HeaderValue::from_static(known);
    }
    let with_charset = format!("{known}; charset=utf-8");
    HeaderValue::try_from(with_charset).unwrap_or_else(|_| HeaderValue::from_static(known))
}

/// JSON and SVG say what they are by themselves; a charset there has no meaning (RFC 8259 section 11).
fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_that_pages_are_made_of_are_right() {
        for (name, expected) in [
            ("a.HTML", "text/html; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.txt", "text/plain; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.svg", "image/svg+xml"),
            ("a.png", "image/png"),
            ("a.webp", "image/webp"),
            ("a.ico", "image/x-icon"),
            ("a.wasm", "application/wasm"),
            ("a.woff", "font/woff"),
            ("a.yml", "application/yaml"),
            ("a.mp4", "video/mp4"),
            ("a.gz", "application/gzip"),
            ("a.unheard-of", "application/octet-stream"),
            ("folder.html/name", "application/octet-stream"),
            (".html", "text/html; charset=utf-8"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name), expected, "{name}");
        }
    }
}

//! Requests that somebody types: `METHOD URL [BODY]`; the responses are printed.

use std::error::Error;

use http::{Method, Response};
use tidewire::{
    ErrorChain,
    http::{self as web, Client, ClientConfig, Printed},
};

use crate::console::{Console, Input, argument, begin, say};

/// A client of one server: its name for people, the scheme of the address, and its port unless another one is given.
pub(crate) async fn run(
    (name, scheme, port): (&str, &str, u16),
    config: ClientConfig,
) -> Result<(), Box<dyn Error>> {
    let address: String = argument(1, "address", "127.0.0.1".to_owned());
    let port: u16 = argument(2, "port", port);
    say(format_args!("{name} server address: {address}"));
    say(format_args!("{name} server port: {port}\n"));
    // An address of IPv6 stands in brackets.
    let host = match address.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => address,
    };
    let url = format!("{scheme}://{host}:{port}");
    let mut client = Client::new(config.clone()).base(&url)?;
    say("Press Enter to stop the client or '!' to reconnect the client...");
    let mut console = Console::new();
    loop {
        match console.next().await {
            Input::Stop => return Ok(()),
            Input::Exclamation => {
                begin("Client reconnecting...");
                // The connections of the old one end with it.
                client = Client::new(config.clone()).base(&url)?;
                say("Done!");
            }
            Input::Line(line) => match request(&client, &line).await {
                Ok(response) => say(Printed::Response(&response)),
                Err(text) => say(text),
            },
        }
    }
}

async fn request(client: &Client, line: &str) -> Result<Response<bytes::Bytes>, String> {
    let mut words = line.splitn(3, ' ').filter(|word| !word.is_empty());
    let (Some(typed), Some(url)) = (words.next(), words.next()) else {
        return Err("HTTP method and URL must be entered!".to_owned());
    };
    let body = words.next();
    let method = typed.to_ascii_uppercase();
    let request = match (method.as_str(), body) {
        ("HEAD" | "GET" | "DELETE" | "OPTIONS" | "TRACE", _) => {
            let method = Method::from_bytes(method.as_bytes());
            web::request(method.unwrap_or_default(), url)
        }
        ("POST", Some(body)) => web::request_with_body(Method::POST, url, body.to_owned()),
        ("PUT", Some(body)) => web::request_with_body(Method::PUT, url, body.to_owned()),
        ("POST" | "PUT", None) => {
            return Err("HTTP method, URL and body must be entered!".to_owned());
        }
        _ => return Err(format!("Unknown HTTP method: {typed}")),
    };
    let request = request.map_err(|_error| "Invalid HTTP request!".to_owned())?;
    client.send(request).await.map_err(|error| {
        // First as the original says it, then why.
        format!("{} {}", error.compatible_text(), ErrorChain(&error))
    })
}

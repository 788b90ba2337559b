//! `tidewire send`: a message over the REST API.

use std::{
    io::{self, Read as _},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use tidewire_hub::UserId;

use crate::{
    output,
    remote::{Remote, block_on},
    report::WrongUsage,
    trace::shown,
};

/// Send a message to users.
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "The text is the argument, or else the standard input. It is accepted when it is on disk for a recipient; whether it has \
     arrived tells `tidewire trace`.\n\n",
    "EXAMPLES\n",
    "  tidewire send --to 7 hello\n",
    "  tidewire send --to alice --to bob --from 0 --type text 'maintenance at noon'\n",
    "  tidewire send --to 7 --type order --data '{\"number\": 12}' 'order 12'\n",
    "  tidewire send --to 7 --json --config /etc/tidewire.toml < text\n",
    "  tidewire send --to 7 --url https://chat.example:8092 --ca ca.pem --token token hello\n",
    "  tidewire send --to 7 --user admin --password password-file hello\n\n",
    "EXIT CODES\n  0  accepted for every recipient\n  1  not accepted, or not for every recipient, or its outcome is not known\n  \
     2  wrong usage or configuration"
))]
pub(crate) struct SendArguments {
    /// The text
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// A recipient; may be repeated
    #[arg(long, value_name = "USER", required = true)]
    to: Vec<String>,
    /// The sender; 0 is the administrator
    #[arg(long, value_name = "USER", default_value = "0")]
    from: String,
    /// The type
    #[arg(long = "type", value_name = "NAME", default_value = "text")]
    kind: String,
    /// Data beside the text, as JSON
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// Write the server's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Deserialize)]
struct Sent {
    id: String,
    refused: Vec<Refused>,
}

#[derive(Debug, Deserialize)]
struct Refused {
    code: String,
    recipient: Value,
}

pub(crate) fn run(arguments: &SendArguments) -> anyhow::Result<ExitCode> {
    let rest = arguments.remote.rest()?;
    let message = arguments.message()?;
    let answer: Value = block_on(rest.post("/send-message", &message))?;
    let sent =
        Sent::deserialize(&answer).context("the answer is of another version of the server")?;
    let text = if arguments.json {
        format!("{answer:#}\n")
    } else {
        lines(&message, &sent)
    };
    output::print(&text).context("cannot write the result")?;
    Ok(if sent.refused.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl SendArguments {
    fn message(&self) -> anyhow::Result<Value> {
        let recipients: Vec<Value> = self
            .to
            .iter()
            .map(|to| user(to))
            .collect::<Result<_, _>>()?;
        let mut message = json!({
            "type": self.kind,
            "sender": user(&self.from)?,
            "recipients": recipients,
            "text": self.text()?,
        });
        if let Some(data) = &self.data {
            let data: Value =
                serde_json::from_str(data).context(WrongUsage("--data: expected JSON"))?;
            message["data"] = data;
        }
        Ok(message)
    }

    fn text(&self) -> anyhow::Result<String> {
        if let Some(text) = &self.text {
            return Ok(text.clone());
        }
        let mut text = String::new();
        let mut stdin = io::stdin().take(TEXT_BYTES_MAX + 1);
        stdin
            .read_to_string(&mut text)
            .context("cannot read the text from the standard input")?;
        if text.len() as u64 > TEXT_BYTES_MAX {
            bail!(WrongUsage(
                "the text on the standard input has more than 64 MiB"
            ));
        }
        // As `echo` writes it; a line end in the middle is part of the text.
        if text.ends_with('\n') {
            text.pop();
        }
        Ok(text)
    }
}

/// An id in JSON: a number where it is one.
fn user(text: &str) -> anyhow::Result<Value> {
    let user: UserId = text
        .parse()
        .with_context(|| format!("{text:?}"))
        .context(WrongUsage("no such user"))?;
    Ok(match user.as_number() {
        Some(number) => json!(number),
        None => json!(user.to_string()),
    })
}

/// The id, and a line per recipient.
fn lines(message: &Value, sent: &Sent) -> String {
    let mut text = vec![format!("id         {}\n", sent.id)];
    for recipient in message["recipients"].as_array().into_iter().flatten() {
        let refused = sent.refused.iter().find(|it| it.recipient == *recipient);
        let outcome = refused.map_or("accepted", |refused| &refused.code);
        text.push(format!("{:<10} {outcome}\n", shown(recipient)));
    }
    text.concat()
}

const TEXT_BYTES_MAX: u64 = 64 << 20;

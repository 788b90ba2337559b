//! `tidewire trace`: why a user has not got a message.

use std::process::ExitCode;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    exit_codes::exit_codes,
    output,
    remote::{Remote, block_on, parameter},
    report::WrongUsage,
};

/// Tell what has become of a message, or of the newest messages of a user.
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "Nothing is said to have arrived without a proof. Steps are remembered for trace.keep, as far as trace.max_size holds; \
     what waits in the mailbox of --for is found also after a restart.\n\n",
    "EXAMPLES\n",
    "  tidewire trace ID-OF-A-MESSAGE\n",
    "  tidewire trace 5A32EA72-38F4D5DC-3541-00000008 --config /etc/tidewire.toml\n",
    "  tidewire trace 5A32EA72-38F4D5DC-3541-00000008 --for alice    one recipient, also after a restart\n",
    "  tidewire trace --for alice --limit 50                         her newest messages\n",
    "  tidewire trace --for 7 --json --url https://chat.example:8092 --ca ca.pem --token token\n",
    "  tidewire trace --for 7 --user admin --password password-file\n\n",
    exit_codes!()
))]
pub(crate) struct TraceArguments {
    /// The message's id
    #[arg(value_name = "ID", required_unless_present = "recipient")]
    id: Option<String>,
    /// Only this user; without an ID his newest messages
    #[arg(long = "for", value_name = "USER")]
    recipient: Option<String>,
    /// Most messages, 1 to 100
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: u16,
    /// Write the server's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Deserialize)]
struct Message {
    id: String,
    #[serde(default)]
    sender: Option<Value>,
    received: String,
    complete: bool,
    #[serde(default)]
    session: Option<u64>,
    #[serde(default)]
    recipients_count: Option<u32>,
    #[serde(default)]
    explanation: Option<String>,
    recipients: Vec<Recipient>,
}

#[derive(Debug, Deserialize)]
struct Recipient {
    user: Value,
    state: String,
    explanation: String,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
struct Step {
    at: String,
    #[serde(rename = "step")]
    what: String,
    #[serde(default)]
    session: Option<u64>,
    #[serde(default)]
    sessions: Option<u32>,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct OfUser {
    sessions: usize,
    since: Option<String>,
    messages: Vec<Message>,
    waiting: Vec<Waiting>,
    more_waiting: bool,
}

#[derive(Debug, Deserialize)]
struct Waiting {
    id: String,
    sender: Value,
    since: String,
}

pub(crate) fn run(arguments: &TraceArguments) -> anyhow::Result<ExitCode> {
    let rest = arguments.remote.rest()?;
    let found: Value = block_on(rest.get(&arguments.path()))?;
    let text = if arguments.json {
        format!("{found:#}\n")
    } else if arguments.id.is_some() {
        of_message(&serde_json::from_value(found).context(OTHER_VERSION)?)
    } else {
        of_user(&serde_json::from_value(found).context(OTHER_VERSION)?)
    };
    output::print(&text).context("cannot write the result")?;
    Ok(ExitCode::SUCCESS)
}

impl TraceArguments {
    fn path(&self) -> String {
        let recipient = self.recipient.as_deref().map(parameter);
        match (&self.id, recipient) {
            (Some(id), None) => format!("/v1/trace/{}", parameter(id).replace("%2D", "-")),
            (Some(id), Some(user)) => {
                let id = parameter(id).replace("%2D", "-");
                format!("/v1/trace/{id}?user={user}")
            }
            (None, user) => {
                let user = user.unwrap_or_default();
                format!("/v1/trace?user={user}&limit={}", self.limit)
            }
        }
    }
}

fn of_message(message: &Message) -> String {
    let mut text = vec![format!("message    {}\n", message.id)];
    let sender = message.sender.as_ref().map_or_else(unknown, shown);
    text.push(format!("sender     {sender}\n"));
    let by = match message.session {
        Some(session) => format!(" from session {session}"),
        None => String::new(),
    };
    text.push(format!("received   {}{by}\n", message.received));
    if let Some(count) = message.recipients_count {
        text.push(format!("recipients {count}\n"));
    }
    if let Some(explanation) = &message.explanation {
        text.push(format!("           {explanation}\n"));
    }
    if !message.complete {
        text.push("           not all of its steps are remembered\n".to_owned());
    }
    for recipient in &message.recipients {
        text.push("\n".to_owned());
        text.push(of_recipient(recipient));
    }
    text.concat()
}

fn of_recipient(recipient: &Recipient) -> String {
    let user = shown(&recipient.user);
    let mut text = vec![format!(
        "{user:<10} {}: {}\n",
        recipient.state, recipient.explanation
    )];
    for step in &recipient.steps {
        let what = match (
            step.what.as_str(),
            step.session,
            step.sessions,
            &step.reason,
        ) {
            (name, Some(session), _, _) => format!("{name} (session {session})"),
            (name, _, Some(sessions), _) => format!("{name} (live sessions: {sessions})"),
            (name, _, _, Some(reason)) => format!("{name} ({reason})"),
            (name, None, None, None) => name.to_owned(),
        };
        text.push(format!("           {}  {what}\n", step.at));
    }
    text.concat()
}

fn of_user(user: &OfUser) -> String {
    let mut text = vec![format!("live sessions    {}\n", user.sessions)];
    let since = user.since.as_deref();
    let since = since.unwrap_or("nothing is remembered (trace.enabled is false)");
    text.push(format!("remembered since {since}\n"));
    for message in &user.messages {
        let sender = message.sender.as_ref().map_or_else(unknown, shown);
        let heading = format!("\n{}  {}  from {sender}\n", message.received, message.id);
        text.push(heading);
        for recipient in &message.recipients {
            let to = shown(&recipient.user);
            let (state, why) = (&recipient.state, &recipient.explanation);
            text.push(format!("  to {to}: {state}: {why}\n"));
        }
        if let Some(explanation) = &message.explanation {
            text.push(format!("  {explanation}\n"));
        }
    }
    if !user.waiting.is_empty() {
        text.push("\nwaiting in the mailbox, oldest first\n".to_owned());
    }
    for message in &user.waiting {
        let (since, id, sender) = (&message.since, &message.id, shown(&message.sender));
        text.push(format!("{since}  {id}  from {sender}\n"));
    }
    if user.more_waiting {
        text.push("and more\n".to_owned());
    }
    text.concat()
}

/// An id as people write it.
pub(crate) fn shown(id: &Value) -> String {
    match id.as_str() {
        Some(name) => name.escape_debug().to_string(),
        None => id.to_string(),
    }
}

fn unknown() -> String {
    "not remembered".to_owned()
}

const OTHER_VERSION: WrongUsage = WrongUsage("the answer is of another version of the server");

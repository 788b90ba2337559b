//! [`Arguments`]: the commands, and the help all of them share.

use clap::{Parser, Subcommand};

#[cfg(unix)]
use crate::store::StoreArguments;
use crate::{
    bench::BenchArguments,
    certs::CertsArguments,
    chat::ChatArguments,
    check_config::CheckConfigArguments,
    check_health::CheckHealthArguments,
    default_config::DefaultConfigArguments,
    exit_codes::exit_codes,
    gateway::GatewayArguments,
    generate::{CompletionsArguments, ManArguments},
    migrate_config::MigrateConfigArguments,
    send::SendArguments,
    serve::ServeArguments,
    status::StatusArguments,
    token::TokenArguments,
    trace::TraceArguments,
};

/// WebSocket messaging: a server for durable messages, a gateway in front of many backends, and a
/// client for the terminal.
#[derive(Debug, Parser)]
#[command(
    name = "tidewire",
    version,
    propagate_version = true,
    after_help = concat!(
        "Without a command the server is started with its defaults, as by `tidewire serve`; it says where its data lies.\n\n",
        "EXAMPLES\n",
        "  tidewire                                        serve on 127.0.0.1\n",
        "  tidewire serve --config /etc/tidewire.toml      serve as configured\n",
        "  tidewire gateway --config config.ini            one address for many backends\n",
        "  tidewire default-config > tidewire.toml         begin a configuration\n",
        "  tidewire check-config --config tidewire.toml    check it\n",
        "  tidewire migrate-config config.json             move from wsserver\n",
        "  tidewire certs                                  certificates to try TLS with\n",
        "  tidewire token make --key secret --user alice   a token for a user\n",
        "  tidewire status                                 how a running server does\n",
        "  tidewire check-health                           is it well? for containers\n",
        "  tidewire send --to 7 hello                      send a message\n",
        "  tidewire trace --for 7                          why has he not got it?\n",
        "  tidewire store backup copy.db                   copy the store, also while it is in use\n",
        "  tidewire chat 'ws://127.0.0.1:8085/chat?id=1'   talk\n",
        "  tidewire bench echo --transport ws server       measure\n",
        "  tidewire --version                              tell the version\n",
        "  tidewire help chat                              as `tidewire chat --help`\n\n",
        exit_codes!()
    )
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(ServeArguments),
    Gateway(GatewayArguments),
    Chat(ChatArguments),
    Bench(BenchArguments),
    CheckConfig(CheckConfigArguments),
    DefaultConfig(DefaultConfigArguments),
    MigrateConfig(MigrateConfigArguments),
    Certs(CertsArguments),
    Token(TokenArguments),
    Trace(TraceArguments),
    Send(SendArguments),
    Status(StatusArguments),
    CheckHealth(CheckHealthArguments),
    Completions(CompletionsArguments),
    Man(ManArguments),
    #[cfg(unix)]
    Store(StoreArguments),
}

impl Arguments {
    /// The command asked for, or `serve`.
    pub(crate) fn or_serve(self) -> Command {
        self.command.unwrap_or_else(|| {
            // Read like a command line, so that the environment's part in it counts as well.
            let serve = Self::parse_from(["tidewire", "serve"]);
            let mut command = serve.command.expect("the command is given");
            if let Command::Serve(arguments) = &mut command {
                arguments.is_unasked = true;
            }
            command
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_has_no_contradictions() {
        Arguments::command().debug_assert();
    }

    /// `clap` adds help and version everywhere; they need no example.
    #[test]
    fn every_option_has_a_help_text_and_an_example() {
        let root = Arguments::command();
        for command in root.get_subcommands() {
            let examples = command.get_after_help().expect("examples").to_string();
            assert!(examples.contains("EXAMPLES\n"), "{}", command.get_name());
            for argument in command.get_arguments() {
                let name = match (argument.get_long(), argument.get_value_names()) {
                    (Some("help" | "version"), _) => continue,
                    (Some(long), _) => format!("--{long}"),
                    (None, Some([name])) if name == "FILE" => match command.get_name() {
                        "check-config" => "check-config gateway.toml".to_owned(),
                        name => format!("{name} /etc"),
                    },
                    (None, Some([name])) if name == "ID" => "trace ID".to_owned(),
                    (None, Some([name])) if name == "TEXT" => "hello".to_owned(),
                    (None, Some([name])) if name == "SHELL" => "completions bash".to_owned(),
                    (None, Some([name])) if name == "DIR" => "man /usr".to_owned(),
                    (None, Some([_])) => "ws".to_owned(),
                    (None, other) => panic!("{other:?}"),
                };
                assert!(argument.get_help().is_some(), "{name}");
                assert!(examples.contains(&name), "{}: {name}", command.get_name());
            }
        }
    }

    #[test]
    fn nothing_means_serve() {
        let nothing = Arguments::try_parse_from(["tidewire"]).expect("valid");
        assert!(matches!(nothing.or_serve(), Command::Serve(_)));
    }
}

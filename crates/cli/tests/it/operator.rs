//! `tidewire trace`, `send`, `status`, `completions` and `man`, as an operator uses them.
//!
//! Kinds: a server that is there, is not, is another program, asks for credentials, refuses them; text as an argument and from
//! the standard input; the address from the configuration; a real bash, a real `man`.

use std::{fs, process::Command};

use crate::{
    program::{Ended, command, end, tidewire},
    run,
    server::{Home, Server},
};

async fn call(home: &Home, arguments: &[&str], input: &str) -> Ended {
    call_with(home, arguments, input, &[]).await
}

async fn call_with(home: &Home, arguments: &[&str], input: &str, env: &[(&str, &str)]) -> Ended {
    let mut command = tidewire(home.path(), arguments);
    command.envs(env.iter().copied());
    let input = input.to_owned();
    let ended = tokio::task::spawn_blocking(move || end(command, &input));
    ended.await.expect("no panic")
}

fn url(server: &Server) -> String {
    server.url("rest").to_owned()
}

#[test]
fn a_message_is_sent_and_followed() {
    run(async {
        let home = Home::new("");
        let server = home.start().await;
        let url = url(&server);
        let sent = call(
            &home,
            &["send", "--to", "7", "--to", "bob", "--url", &url, "hello"],
            "",
        )
        .await;
        assert_eq!((sent.code, sent.stderr.as_str()), (Some(0), ""));
        let lines: Vec<&str> = sent.stdout.lines().collect();
        let [id, "7          accepted", "bob        accepted"] = lines[..] else {
            panic!("{}", sent.stdout);
        };
        let id = id.trim_start_matches("id").trim();
        let told = call(&home, &["trace", id, "--url", &url], "").await;
        assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""));
        assert!(
            told.stdout.contains("7          waiting: it waits"),
            "{}",
            told.stdout
        );
        let from_stdin = ["send", "--to", "7", "--json", "--url", &url];
        let sent = call(&home, &from_stdin, "two\nlines\n").await;
        assert!(
            sent.stdout.contains("\"refused\": []"),
            "{} {}",
            sent.stdout,
            sent.stderr
        );
        let of_user = call(&home, &["trace", "--for", "7", "--url", &url], "").await;
        assert_eq!(of_user.code, Some(0), "{}", of_user.stderr);
        assert_eq!(
            of_user.stdout.matches("to 7: waiting").count(),
            2,
            "{}",
            of_user.stdout
        );
        let json = call(
            &home,
            &["trace", id, "--for", "bob", "--json", "--url", &url],
            "",
        )
        .await;
        assert!(
            json.stdout.contains("\"state\": \"waiting\""),
            "{}",
            json.stdout
        );
        server.stop().await;
    });
}

#[test]
fn a_message_that_somebody_does_not_get_is_a_failure() {
    run(async {
        let home = Home::new("[mailbox]\nuser_messages_max = 1\n");
        let server = home.start().await;
        let url = url(&server);
        let first = call(&home, &["send", "--to", "7", "--url", &url, "one"], "").await;
        assert_eq!(first.code, Some(0), "{}", first.stderr);
        let part = call(
            &home,
            &["send", "--to", "7", "--to", "8", "--url", &url, "two"],
            "",
        )
        .await;
        assert_eq!(part.code, Some(1), "{}", part.stdout);
        assert!(
            part.stdout
                .contains("7          mailbox_full\n8          accepted\n"),
            "{}",
            part.stdout
        );
        let none = call(&home, &["send", "--to", "7", "--url", &url, "three"], "").await;
        assert_eq!(none.code, Some(1), "{}", none.stdout);
        assert!(none.stderr.contains("429"), "{}", none.stderr);
        server.stop().await;
    });
}

#[test]
fn a_status_has_figures_for_people_and_for_programs() {
    run(async {
        let home = Home::new("");
        let server = home.start().await;
        let url = url(&server);
        call(&home, &["send", "--to", "7", "--url", &url, "one"], "").await;
        let status = call(&home, &["status", "--interval", "1ms", "--url", &url], "").await;
        assert_eq!((status.code, status.stderr.as_str()), (Some(0), ""));
        assert!(
            status.stdout.contains("health      ok\n"),
            "{}",
            status.stdout
        );
        assert!(
            status.stdout.contains("waiting     1 messages"),
            "{}",
            status.stdout
        );
        let json = call(
            &home,
            &["status", "--interval", "1ms", "--json", "--url", &url],
            "",
        )
        .await;
        assert!(
            json.stdout.contains("\"status\": \"ok\""),
            "{}",
            json.stdout
        );
        server.stop().await;
    });
}

const GUARDED: &str = "[rest.auth]\ntype = \"oneOf\"\n[[rest.auth.types]]\ntype = \"bearer\"\nvalue = \"canary-token\"\n\
                       [[rest.auth.types]]\ntype = \"basic\"\nuser = \"u\"\npassword = \"canary-word\"\n";

#[test]
fn credentials_come_from_files_and_the_environment_and_are_never_said() {
    run(async {
        let home = Home::new(GUARDED);
        let server = home.start().await;
        let url = url(&server);
        fs::write(home.path().join("token"), "canary-token\n").expect("writable");
        fs::write(home.path().join("word"), "canary-word").expect("writable");
        fs::write(home.path().join("wrong"), "canary-wrong").expect("writable");
        let ask = |more: &[&'static str]| {
            let mut all = vec!["trace", "--for", "7", "--url", &url];
            all.extend(more);
            all
        };
        for (more, env) in [
            (&["--token", "token"][..], None),
            (&["--user", "u", "--password", "word"], None),
            (&[], Some(("TIDEWIRE_TOKEN", "canary-token"))),
            (&["--user", "u"], Some(("TIDEWIRE_PASSWORD", "canary-word"))),
        ] {
            let env: Vec<_> = env.into_iter().collect();
            let told = call_with(&home, &ask(more), "", &env).await;
            assert_eq!(told.code, Some(0), "{more:?}: {}", told.stderr);
        }
        for (more, code, expected) in [
            (&[][..], 1, "asks for credentials (401)"),
            (
                &["--token", "wrong"],
                1,
                "does not take these credentials (401)",
            ),
            (&["--token", "absent"], 1, "cannot read absent"),
            (&["--user", "u"], 2, "--password FILE"),
        ] {
            let told = call(&home, &ask(more), "").await;
            assert_eq!(told.code, Some(code), "{more:?}: {}", told.stderr);
            assert!(told.stderr.contains(expected), "{more:?}: {}", told.stderr);
            assert!(!told.stderr.contains("canary"), "{}", told.stderr);
        }
        server.stop().await;
    });
}

#[test]
fn health_is_an_exit_code_and_needs_no_credentials() {
    run(async {
        let home = Home::new(GUARDED);
        let server = home.start().await;
        let url = url(&server);
        let well = call(&home, &["check-health", "--url", &url], "").await;
        assert_eq!((well.code, well.stdout.as_str()), (Some(0), "ok\n"));
        server.stop().await;
        let gone = call(&home, &["check-health", "--url", &url], "").await;
        assert_eq!((gone.code, gone.stdout.as_str()), (Some(1), ""));
        assert!(gone.stderr.contains("no answer from"), "{}", gone.stderr);
    });
}

#[test]
fn what_is_not_our_api_is_told_plainly() {
    run(async {
        let home = Home::new("[rest]\nlisten = \"127.0.0.1:1\"\n");
        let configured = call(&home, &["status", "--config", "tidewire.toml"], "").await;
        assert_eq!(configured.code, Some(1), "{}", configured.stdout);
        let expected = "no answer from http://127.0.0.1:1; is the server there";
        assert!(
            configured.stderr.contains(expected),
            "{}",
            configured.stderr
        );
        let wrong = call(&home, &["status", "--url", "chat"], "").await;
        assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);

        let server = home.start().await;
        let rest = url(&server);
        let https = rest.replace("http:", "https:");
        let messaging = server
            .url("messaging")
            .replace("ws:", "http:")
            .replace("/chat", "");
        for url in [&https, &messaging] {
            let told = call(&home, &["trace", "--for", "7", "--url", url], "").await;
            assert_eq!(told.code, Some(1), "{url}: {}", told.stdout);
            assert!(told.stderr.starts_with("error: "), "{url}: {}", told.stderr);
            assert!(
                told.stderr.contains("REST API") || told.stderr.contains("no answer"),
                "{url}: {}",
                told.stderr
            );
        }
        let absent = "5A32EA72-38F4D5DC-3541-00000008";
        let unknown = call(&home, &["trace", absent, "--url", &rest], "").await;
        assert_eq!(unknown.code, Some(1));
        assert!(
            unknown.stderr.contains("nothing is known of this message"),
            "{}",
            unknown.stderr
        );
        server.stop().await;
    });
}

/// As a user does: the script is sourced, and a word completed.
#[test]
fn bash_completes_the_commands() {
    let home = Home::new("");
    let script = end(tidewire(home.path(), &["completions", "bash"]), "");
    assert_eq!((script.code, script.stderr.as_str()), (Some(0), ""));
    fs::write(home.path().join("completion"), &script.stdout).expect("writable");
    let complete = "source completion && COMP_WORDS=(tidewire tra) COMP_CWORD=1 && _tidewire tidewire tra tidewire && \
                    echo \"${COMPREPLY[@]}\" && COMP_WORDS=(tidewire send --t) COMP_CWORD=2 && \
                    _tidewire tidewire --t send && echo \"${COMPREPLY[@]}\"";
    let mut bash = command("bash", home.path());
    bash.args(["--norc", "-c", complete]);
    let ended = end(bash, "");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.first(), Some(&"trace"), "{}", ended.stdout);
    let options = lines.get(1).copied().unwrap_or_default();
    for option in ["--to", "--type", "--token"] {
        assert!(options.split(' ').any(|it| it == option), "{options}");
    }
}

#[test]
fn every_shell_and_no_other_gets_a_script() {
    let home = Home::new("");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = end(tidewire(home.path(), &["completions", shell]), "");
        assert_eq!(script.code, Some(0), "{}", script.stderr);
        assert!(script.stdout.contains("completions"), "{shell}");
    }
    let other = end(tidewire(home.path(), &["completions", "cmd"]), "");
    assert_eq!(other.code, Some(2), "{}", other.stderr);
}

#[test]
fn every_command_has_a_page_that_is_read_without_a_warning() {
    let home = Home::new("");
    let made = end(tidewire(home.path(), &["man", "pages"]), "");
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""));
    let pages = fs::read_dir(home.path().join("pages")).expect("made");
    let pages: Vec<_> = pages.map(|page| page.expect("readable").path()).collect();
    let names: Vec<_> = pages
        .iter()
        .filter_map(|page| page.file_name()?.to_str())
        .collect();
    for name in [
        "tidewire.1",
        "tidewire-serve.1",
        "tidewire-trace.1",
        "tidewire-store-backup.1",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    for page in &pages {
        let text = fs::read_to_string(page).expect("text");
        assert!(
            text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"),
            "{}",
            page.display()
        );
        // Where groff is there.
        let groff = Command::new("groff")
            .args(["-ww", "-man", "-Tutf8", "-z"])
            .arg(page)
            .output();
        if let Ok(read) = groff {
            let warnings = String::from_utf8_lossy(&read.stderr);
            assert_eq!(warnings, "", "{}", page.display());
        }
    }
}

//! The end of a round: every recipient connects with an ordinary client through the healed
//! proxy, reads what is pending, proves it, and looks whether anything comes again.

use std::{sync::Arc, time::Duration};

use anyhow::{bail, ensure};
use tokio::time::{sleep, timeout};

use super::{
    book::Problem,
    frames::Frame,
    random::Random,
    rest::{Answer, Rest},
    socket::{self, Downlink, Uplink},
    world::{Envelope, World},
};

/// Time for everything that is pending for a user.
const DRAIN_WITHIN: Duration = Duration::from_mins(2);

/// Time until a mark that was refused is sent again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Time for the ping and the copy that prove what was read.
const PROOF_WITHIN: Duration = Duration::from_secs(30);

/// Sends the marks; no user of a round.
const MARKER: u64 = 1_000_000;

/// Messages that a drained user leaves in the mailbox of its sink.
pub(super) const PROBES: u64 = 2;

/// Plus the user's id: gets the messages that prove something; never connected.
const SINKS: u64 = 2_000_000;

/// Fetches what is pending for a user; what cannot be fetched is a problem.
pub(super) async fn drain(world: Arc<World>, user: u64, mut random: Random) {
    let drained = timeout(DRAIN_WITHIN, drain_twice(&world, user, &mut random)).await;
    let why = match drained {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("not within {} s", DRAIN_WITHIN.as_secs()),
    };
    world
        .ledger()
        .problem(Problem::NotDrained, format!("user {user}: {why}"));
}

/// The second time everything has been proved: nothing may come but the mark.
async fn drain_twice(world: &World, user: u64, random: &mut Random) -> anyhow::Result<()> {
    for mark in ["the end", "really"] {
        // A full mailbox takes the mark only once something has been fetched.
        tokio::try_join!(
            send_mark(world, user, mark),
            fetch_all(world, user, mark, random)
        )?;
    }
    Ok(())
}

async fn send_mark(world: &World, user: u64, mark: &str) -> anyhow::Result<()> {
    let message =
        format!(r#"{{"type":"mark","sender":{MARKER},"recipients":[{user}],"text":"{mark}"}}"#);
    let mut rest = Rest::connect(world.rest).await?;
    loop {
        match rest.send_message(&message).await? {
            Answer::Accepted { refused_for } if refused_for.is_empty() => return Ok(()),
            Answer::Accepted { .. } | Answer::Refused => sleep(RETRY_AFTER).await,
            Answer::Unknown => bail!("the server does not know what became of a mark"),
        }
    }
}

async fn fetch_all(
    world: &World,
    user: u64,
    mark: &str,
    random: &mut Random,
) -> anyhow::Result<()> {
    // The server may end connections now and then; that must not cost anything.
    let mut attempts = 0..20;
    while let Err(error) = fetch(world, user, mark, random).await {
        ensure!(
            attempts.next().is_some(),
            "up to the mark {mark:?}: {error:#}"
        );
    }
    Ok(())
}

/// Reads up to the mark and proves it all.
async fn fetch(world: &World, user: u64, mark: &str, random: &mut Random) -> anyhow::Result<()> {
    let (mut down, mut up) = socket::connect(world.messaging, user, random.split()).await?;
    let connection = world.ledger().connected();
    let mut is_marked = false;
    loop {
        let is_answered = match next(&mut down).await? {
            Next::Envelope(envelope) if envelope.text == mark && envelope.sender == MARKER => {
                is_marked = true;
                false
            }
            // The copy of a message that a stalled connection has held back. It came too late for
            // recipients who were drained before: nobody has learnt in time that it is accepted.
            Next::Envelope(envelope) if envelope.sender == user => false,
            Next::Envelope(envelope) => {
                if let Some(number) = world.read(user, connection, &envelope) {
                    up.was_read(number);
                    world.ledger().handled(user, number);
                }
                false
            }
            Next::Ping(payload) => {
                up.pong(payload).await?;
                true
            }
        };
        if is_marked && is_answered {
            break;
        }
    }
    // Never settled in the ledger: the sink reads nothing.
    let (number, probe) = world.write_to(user, connection, vec![SINKS + user], random);
    up.send(number, probe).await?;
    timeout(PROOF_WITHIN, copy(&mut down, &mut up, number)).await??;
    let proved = up.copied(number);
    world.ledger().proved(user, &proved);
    up.write(&Frame::Close(1000)).await
}

enum Next {
    Envelope(Envelope),
    Ping(Vec<u8>),
}

async fn next(down: &mut Downlink) -> anyhow::Result<Next> {
    loop {
        match down.next().await? {
            Some(Frame::Text(text)) => return Ok(Next::Envelope(serde_json::from_slice(&text)?)),
            Some(Frame::Ping(payload)) => return Ok(Next::Ping(payload)),
            Some(Frame::Pong(_)) => {}
            Some(Frame::Close(code)) => bail!("closed with {code}"),
            None => bail!("the stream ended"),
        }
    }
}

/// Waits for the copy of an own message.
async fn copy(down: &mut Downlink, up: &mut Uplink, number: usize) -> anyhow::Result<()> {
    loop {
        match next(down).await? {
            Next::Envelope(envelope) if envelope.number() == Some(number) => return Ok(()),
            Next::Envelope(envelope) => ensure!(!envelope.is_receipt(), "{envelope:?}"),
            Next::Ping(payload) => up.pong(payload).await?,
        }
    }
}

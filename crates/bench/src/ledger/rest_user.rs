//! A user who sends by REST, with or without sending again what got no answer.

use std::sync::Arc;

use tokio::time::sleep;

use super::{
    book::{Number, Outcome},
    kind::Kind,
    random::Random,
    rest::{Answer, Rest},
    world::World,
};

/// Attempts for what gets no answer.
const ATTEMPTS_MAX: u32 = 5;

#[derive(Debug)]
pub(super) struct RestUser {
    pub(super) id: u64,
    pub(super) kind: Kind,
    pub(super) random: Random,
    pub(super) world: Arc<World>,
}

impl RestUser {
    /// Never ends; may be dropped at any time.
    pub(super) async fn run(mut self) -> ! {
        let mut attempts_left = 0;
        loop {
            if let Ok(rest) = Rest::connect(self.world.rest).await {
                self.send_over(rest, &mut attempts_left).await;
            }
            let pause = self.world.pace.pick(&mut self.random, &(0..=500));
            sleep(pause).await;
        }
    }

    /// Until there is no answer. A message that is sent again is one more in the ledger, as it is
    /// for the server: it comes once or twice.
    async fn send_over(&mut self, mut rest: Rest, attempts_left: &mut u32) {
        let connection = self.world.ledger().connected();
        loop {
            if *attempts_left == 0 {
                sleep(self.world.think(&mut self.random)).await;
                *attempts_left = if self.kind == Kind::RestRetry {
                    ATTEMPTS_MAX
                } else {
                    1
                };
            }
            *attempts_left -= 1;
            let (number, message) = self.world.write(self.id, connection, &mut self.random);
            let Ok(answer) = rest.send_message(&message).await else {
                self.world.ledger().closed("no answer by REST");
                return;
            };
            if answer != Answer::Unknown {
                *attempts_left = 0;
            }
            note(&self.world, number, &answer);
        }
    }
}

fn note(world: &World, number: Number, answer: &Answer) {
    let mut ledger = world.ledger();
    match answer {
        Answer::Accepted { refused_for } => {
            ledger.settled(number, Outcome::Accepted);
            for recipient in refused_for {
                ledger.refused_for(number, *recipient);
            }
        }
        Answer::Refused => ledger.settled(number, Outcome::Refused),
        Answer::Unknown => {}
    }
}

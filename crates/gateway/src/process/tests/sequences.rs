//! Any sequence of events keeps the invariants.

use proptest::prelude::*;

use super::{
    super::supervision::{Action, Phase},
    *,
};

/// What a world does to the machine; what cannot happen in the state of the world is left out.
#[derive(Clone, Copy, Debug)]
enum Event {
    Pass(u32),
    Due,
    Ready,
    Exit,
    Gone(u32),
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..40_000_u32).prop_map(Event::Pass),
        Just(Event::Due),
        Just(Event::Due),
        Just(Event::Ready),
        Just(Event::Exit),
        any::<u32>().prop_map(Event::Gone),
        Just(Event::Restart),
    ]
}

/// The process as the world knows it.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
#[derive(Default)]
struct World {
    runs: bool,
    exited: bool,
    asked: bool,
    reported: bool,
    last_gone: Option<std::time::Instant>,
}

impl Bench {
    fn step(&mut self, event: Event, world: &mut World) {
        match event {
            Event::Pass(ms) => {
                self.now += Duration::from_millis(ms.into());
                self.machine.handle_timeout(self.now);
            }
            Event::Due => {
                if let Some(at) = self.machine.poll_timeout() {
                    self.now = self.now.max(at);
                    self.machine.handle_timeout(self.now);
                }
            }
            Event::Ready if world.runs && !world.exited => self.machine.handle_ready(self.now),
            Event::Exit if world.runs && !world.exited => {
                world.exited = true;
                self.machine.handle_exited(self.now);
            }
            Event::Gone(random) if world.exited => {
                world.runs = false;
                world.exited = false;
                world.last_gone = Some(self.now);
                self.machine.handle_gone(self.now, random);
            }
            Event::Restart => {
                world.asked = true;
                world.reported = false;
                self.machine.restart(self.now);
            }
            Event::Ready | Event::Exit | Event::Gone(_) => {}
        }
    }

    /// Does what is wanted, and checks that it is sound.
    fn obey(&mut self, world: &mut World, fail: bool) -> Result<(), TestCaseError> {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Start => {
                    prop_assert!(!world.runs, "started twice");
                    if let Some(gone) = world.last_gone
                        && !world.asked
                    {
                        let wait = self.now - gone;
                        prop_assert!(wait >= Duration::from_millis(50), "waited {wait:?}");
                    }
                    world.asked = false;
                    if fail {
                        world.last_gone = Some(self.now);
                        self.machine.handle_start_failed(self.now, 0);
                    } else {
                        world.runs = true;
                        self.machine.handle_started(self.now);
                    }
                }
                Action::Terminate | Action::Kill | Action::Abandon => {
                    prop_assert!(world.runs, "{action:?} of nothing");
                }
                Action::ReportNotReady => {}
                Action::ReportCrashLoop => {
                    prop_assert!(!world.reported, "reported twice");
                    world.reported = true;
                }
                Action::ReportRecovered => {
                    prop_assert!(world.reported, "recovered from nothing");
                    world.reported = false;
                }
            }
        }
        prop_assert_eq!(self.machine.in_crash_loop(), world.reported);
        Ok(())
    }
}

proptest! {
    #[test]
    fn there_is_one_process_at_a_time_and_never_a_dead_end(
        events in prop::collection::vec((event(), prop::bool::weighted(0.1)), 1..200),
        crash_loop in 0..8_u32,
    ) {
        let mut bench = Bench::new(Process { crash_loop, ..Process::new(["x"]) });
        let mut world = World::default();
        bench.obey(&mut world, false)?;
        for (event, fail) in events {
            bench.step(event, &mut world);
            bench.obey(&mut world, fail)?;
            // Nothing is wanted any more: either it runs, or there is a time at which it goes on.
            let goes_on = world.runs || bench.machine.poll_timeout().is_some();
            prop_assert!(goes_on, "{:?}", bench.machine.phase());
            let ready = matches!(bench.machine.phase(), Phase::Ready { .. });
            prop_assert!(!ready || (world.runs && !world.exited));
        }
        bench.machine.stop(bench.now);
        for event in [Event::Exit, Event::Gone(0)] {
            bench.step(event, &mut world);
            bench.obey(&mut world, false)?;
        }
        prop_assert_eq!(bench.machine.phase(), Phase::Stopped);
        prop_assert_eq!(bench.machine.poll_timeout(), None);
    }
}

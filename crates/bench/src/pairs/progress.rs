//! The steps of a run, told while it goes on.

/// Told of the steps of a run, as they begin and end.
pub trait Progress {
    /// A step begins.
    fn begin(&mut self, step: &str);

    /// The step that began last is done.
    fn done(&mut self, step: &str);

    /// Something has happened.
    fn say(&mut self, line: &str);

    /// The measurement goes on: this part of it, 0 to 1, is over, and so many messages have come.
    fn advanced(&mut self, part: f64, messages: u64) {
        let _ = (part, messages);
    }
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: &str) {}
    fn done(&mut self, _: &str) {}
    fn say(&mut self, _: &str) {}
}

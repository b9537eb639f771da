//! How far a command has got, on standard error, where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::recording::Player;
use crate::time::Timestamp;

/// Steps of the bar.
const STEPS: u64 = 1_000;

/// A bar, the recording's time, and how fast it goes.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    rows: u64,
}

impl Progress {
    pub(super) fn start() -> Self {
        let bar =
            ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr_with_hz(10));
        let template = "{percent:>3} % {bar:24} {msg}  {elapsed} of about {duration}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        // What takes no time needs no bar.
        bar.set_elapsed(Duration::ZERO);
        Self { bar, rows: 0 }
    }

    /// After a tick of so many sessions.
    pub(super) fn tick(&mut self, player: &Player, at: Timestamp, sessions: usize) {
        self.rows += sessions as u64;
        if self.bar.is_hidden() {
            return;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 1,000"
        )]
        self.bar
            .set_position((player.progress() * STEPS as f64) as u64);
        let time = at.to_string();
        let minute = time.get(..16).unwrap_or(&time).replace('T', " ");
        let rows = self.rows as f64 / self.bar.elapsed().as_secs_f64().max(0.001);
        self.bar
            .set_message(format!("{minute}  {:.1} M rows/s", rows / 1e6));
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

//! What clients can bring about at every poll, logged so seldom that they cannot fill the log.

use std::time::Duration;

use crate::time::Timestamp;

/// It is logged once in so long while it goes on, and has ended when it has not happened for as long.
const EVERY: Duration = Duration::from_mins(1);

/// Something that happens again and again, and how much of it was logged.
#[derive(Debug, Default)]
pub(super) struct Recurrence {
    /// While it goes on: when it was logged last.
    logged: Option<Timestamp>,
    /// When it happened last.
    last: Timestamp,
    /// How often since it was logged last.
    count: u64,
}

/// What is to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It happened for the first time, so often.
    Begun(u64),
    /// It goes on: so often since it was logged last.
    GoesOn(u64),
    /// It has not happened for a minute.
    Over,
}

impl Recurrence {
    /// After each poll: how often it happened since the poll before.
    pub(super) fn note(&mut self, count: u64, at: Timestamp) -> Option<News> {
        self.count = self.count.saturating_add(count);
        if count > 0 {
            self.last = at;
        }
        let Some(logged) = self.logged else {
            return (count > 0).then(|| News::Begun(self.log(at)));
        };
        if at.since(logged) < EVERY {
            None
        } else if self.count > 0 {
            Some(News::GoesOn(self.log(at)))
        } else if at.since(self.last) < EVERY {
            None
        } else {
            self.logged = None;
            Some(News::Over)
        }
    }

    fn log(&mut self, at: Timestamp) -> u64 {
        self.logged = Some(at);
        std::mem::take(&mut self.count)
    }
}

/// A state that clients can switch to and fro at every poll: each time that it is logged is a minute after
/// the one before, and so is as much as its end.
#[derive(Debug, Default)]
pub(super) struct Spell {
    is_logged: bool,
    logged: Option<Timestamp>,
}

/// What is to be logged of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It holds.
    Begins,
    /// It no longer does, and that it did was logged.
    Ends,
}

impl Spell {
    /// After each poll: whether the state holds.
    pub(super) fn note(&mut self, holds: bool, at: Timestamp) -> Option<Turn> {
        let is_due = self.logged.is_none_or(|logged| at.since(logged) >= EVERY);
        match (self.is_logged, holds) {
            (false, true) if is_due => {
                (self.is_logged, self.logged) = (true, Some(at));
                Some(Turn::Begins)
            }
            (true, false) => {
                self.is_logged = false;
                Some(Turn::Ends)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(s * 1_000)
    }

    #[test]
    fn what_happens_at_each_poll_is_logged_once_a_minute_and_counted() {
        let mut it = Recurrence::default();
        let news: Vec<_> = (0..=180)
            .filter_map(|s| it.note(20, at(s)).map(|news| (s, news)))
            .collect();
        let minute = News::GoesOn(1_200);
        let expected = [
            (0, News::Begun(20)),
            (60, minute),
            (120, minute),
            (180, minute),
        ];
        assert_eq!(news, expected);
    }

    #[test]
    fn it_has_ended_after_a_quiet_minute_and_then_begins_again() {
        let mut it = Recurrence::default();
        assert_eq!(it.note(0, at(0)), None);
        let happens = [10, 20, 140];
        let news: Vec<_> = (0..=140)
            .filter_map(|s| {
                let count = u64::from(happens.contains(&s));
                it.note(count, at(s)).map(|news| (s, news))
            })
            .collect();
        let expected = [
            (10, News::Begun(1)),
            (70, News::GoesOn(1)),
            (130, News::Over),
            (140, News::Begun(1)),
        ];
        assert_eq!(news, expected);
    }

    #[test]
    fn whatever_its_timing_it_costs_two_lines_a_minute() {
        for pause in 1..200 {
            let mut it = Recurrence::default();
            let happens = |s: i64| u64::from(s % pause == 0);
            let news = (0..3_600)
                .filter_map(|s| it.note(happens(s), at(s)))
                .count();
            assert!(news <= 120, "{pause}: {news}");
        }
    }

    #[test]
    fn a_state_that_flaps_is_logged_once_a_minute_and_one_that_stays_in_the_end() {
        let mut it = Spell::default();
        let turns: Vec<_> = (0..200)
            .filter_map(|s| {
                let holds = s % 2 == 0 && s < 100 || s >= 110;
                it.note(holds, at(s)).map(|turn| (s, turn))
            })
            .collect();
        let expected = [
            (0, Turn::Begins),
            (1, Turn::Ends),
            (60, Turn::Begins),
            (61, Turn::Ends),
            (120, Turn::Begins),
        ];
        assert_eq!(turns, expected);
    }
}

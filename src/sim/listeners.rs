//! The server's listeners: closed while its slots are taken.

/// Open until all slots are taken, then closed until a twentieth of them is free.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Listeners {
    /// Without a number they are always open.
    slots: Option<usize>,
    are_closed: bool,
}

impl Listeners {
    pub(super) const fn of(slots: usize) -> Self {
        Self {
            slots: Some(slots),
            are_closed: false,
        }
    }

    /// Whether there are so many slots and no more.
    pub(super) const fn are_limited(self) -> bool {
        self.slots.is_some()
    }

    /// The same listeners when nobody is connected any more.
    pub(super) const fn reopened(self) -> Self {
        Self {
            are_closed: false,
            ..self
        }
    }

    /// Whether somebody more gets in beside so many sessions, RPC connections included.
    pub(super) fn take(&mut self, sessions: usize) -> bool {
        let Some(slots) = self.slots else {
            return true;
        };
        if sessions >= slots {
            self.are_closed = true;
        } else if sessions <= slots * 19 / 20 {
            self.are_closed = false;
        }
        !self.are_closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_close_when_all_is_taken_and_open_at_a_twentieth() {
        let mut listeners = Listeners::of(100);
        assert!(listeners.take(99));
        assert!(!listeners.take(100));
        assert!(!listeners.take(96));
        assert!(listeners.take(95));
        assert!(listeners.take(99));
        assert!(Listeners::default().take(1_000_000));
    }
}

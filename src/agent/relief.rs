//! Whether acts helped, into the journal.

use super::Agent;
use crate::warden::Followed;

impl Agent {
    pub(super) fn journal_reliefs(&mut self, followed: &[Followed]) {
        let reliefs = self.followed.reliefs(followed);
        if !reliefs.is_empty() && !self.is_journal_down {
            let written = self.journal.relieve(&reliefs);
            self.note_journal(written);
        }
    }
}

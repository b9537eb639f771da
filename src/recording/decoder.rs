//! Decodes the replies that were recorded of one server, poll after poll.

use std::marker::PhantomData;

use super::Tick;
use crate::rpc::envelope::{read_kept, read_usual};
use crate::wire::{
    GetinfoSeed, GroupsSeed, Inspection, SessionsDecoder, SessionsSeed, read_usual_groups, tame,
};

/// What it takes to decode them.
#[derive(Debug)]
pub(super) struct ReplyDecoder {
    sessions: SessionsDecoder,
    /// Whether anybody looks at groups.
    with_groups: bool,
}

impl ReplyDecoder {
    pub(super) fn new(with_groups: bool) -> Self {
        Self {
            sessions: SessionsDecoder::default(),
            with_groups,
        }
    }

    /// Decodes a reply into the tick; of what is wrong with it, tells in words. `inspected` are the sessions
    /// whose `inspect_session` was taken in.
    pub(super) fn decode(
        &mut self,
        method: &str,
        reply: &mut [u8],
        inspected: &[u64],
        tick: &mut Tick,
    ) -> Result<(), String> {
        let snapshot = &mut tick.snapshot;
        match method {
            "sessions" => {
                let columns = &mut snapshot.sessions;
                if !read_usual(reply, |result| self.sessions.read_usual(result, columns)) {
                    read_kept(reply, SessionsSeed(columns))?;
                }
            }
            "groups" if self.with_groups => {
                let columns = &mut snapshot.groups;
                if !read_usual(reply, |result| read_usual_groups(result, columns)) {
                    read_kept(reply, GroupsSeed(columns))?;
                }
            }
            "getinfo" => {
                tame(reply);
                read_kept(reply, GetinfoSeed(&mut snapshot.server))?;
            }
            "inspect_session" => {
                tame(reply);
                // The server refuses to tell of sessions that are gone.
                if let Ok(inspection) = read_kept(reply, PhantomData::<Inspection>)
                    && let Some(&id) = inspected.get(tick.inspections.len())
                {
                    tick.inspections.push((id, inspection));
                }
            }
            // Not asked for, or of a later version.
            _ => {}
        }
        Ok(())
    }
}

//! Polls in steady state, and the memory that they ask for.

use std::path::Path;

use allocation_counter::{AllocationInfo, measure};
use electrumx_warden::policy::PolicySet;
use electrumx_warden::snapshot::Snapshot;
use electrumx_warden::warden::{Settings, Warden};
use electrumx_warden::wire::{GroupsSeed, SessionsSeed};
use serde::de::DeserializeSeed;

use crate::crowd::Crowd;

/// Longer than the longest window of the shipped policies.
const WARM_UP: usize = 40;
const COUNTED: usize = 9;

/// The median poll of so many sessions, of which at each poll as many leave and come as `comers`,
/// judged by the shipped policies.
pub(crate) fn polls(sessions: usize, comers: usize) -> AllocationInfo {
    let mut crowd = Crowd::new(sessions, 1);
    crowd.comers = comers;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let policies = PolicySet::load(&[folder]).set;
    let mut warden = Warden::new(policies.expect("good policies"), Settings::default());
    let mut snapshot = Snapshot::default();
    let (mut rows, mut groups) = (Vec::new(), Vec::new());
    let mut polls = Vec::new();
    for poll in 0..WARM_UP + COUNTED {
        crowd.write_sessions(&mut rows);
        crowd.write_groups(&mut groups);
        crowd.date(&mut snapshot);
        crowd.advance();
        let info = measure(|| {
            let mut json = serde_json::Deserializer::from_slice(&rows);
            let decoded = SessionsSeed(&mut snapshot.sessions).deserialize(&mut json);
            decoded.expect("a good reply");
            let mut json = serde_json::Deserializer::from_slice(&groups);
            let decoded = GroupsSeed(&mut snapshot.groups).deserialize(&mut json);
            decoded.expect("a good reply");
            warden.observe(&snapshot);
            warden.judge(&snapshot);
        });
        if poll >= WARM_UP {
            polls.push(info);
        }
    }
    polls.sort_by_key(|poll| poll.count_total);
    polls.swap_remove(COUNTED / 2)
}

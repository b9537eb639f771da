//! Policies that are valid and yet not what anyone means.

use super::diagnostic::Findings;
use super::set::PolicySet;

pub(super) fn all(_set: &PolicySet, _findings: &mut Findings) {}

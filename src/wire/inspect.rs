//! `inspect_session`: the only place where the errors of one session can be seen, from 2.0 on.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What 2.0 tells of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Inspection {
    /// Errors since it connected.
    pub errors: u64,
    /// Requests since it connected.
    #[serde(rename = "request total")]
    pub requests: u64,
    /// Requests by method. The server counts what it does not know as `invalid method`, so its own
    /// handlers bound this.
    #[serde(rename = "request counts", default)]
    pub methods: BTreeMap<String, u64>,
}

//! Settings of the sink.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// The usual deadline for one call of `nft`. A large list takes a few seconds.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The settings of the sink.
#[derive(Clone, Debug)]
pub struct NftablesSettings {
    /// The server's ports as clients see them, so the published ones if it is in a container.
    pub ports: Ports,
    /// The path of `nft`; `None` to search `PATH`, `/usr/sbin` and `/sbin`.
    pub program: Option<PathBuf>,
    /// How long one call of the program may take; usually [`DEADLINE`].
    pub deadline: Duration,
}

/// TCP ports, at least one, each once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Ports(BTreeSet<NonZeroU16>);

impl Ports {
    /// `None` if there are none, or one is 0.
    pub fn new(ports: impl IntoIterator<Item = u16>) -> Option<Self> {
        let ports: Option<BTreeSet<_>> = ports.into_iter().map(NonZeroU16::new).collect();
        ports.filter(|ports| !ports.is_empty()).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_port_and_none_is_zero() {
        assert_eq!(Ports::new([]), None);
        assert_eq!(Ports::new([50_001, 0]), None);
        assert_eq!(Ports::new([2, 1, 2]), Ports::new([1, 2]));
    }
}

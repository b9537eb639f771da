//! What a reconciliation repaired.

use std::fmt;

/// What [`reconcile`](super::Nftables::reconcile) found and repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// The table was correct.
    Nothing,
    /// Elements differed from the desired networks.
    Elements {
        /// Networks that were not in the table.
        missing: usize,
        /// Networks that were in the table and should not be.
        extra: usize,
        /// Networks that were in the table with another end.
        wrong_end: usize,
    },
    /// The whole table was replaced.
    Replaced {
        /// Why.
        reason: Reason,
        /// Networks in the new table.
        networks: usize,
    },
}

/// Why the whole table was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its state was unknown: the sink has just started, or a call failed.
    Unknown,
    /// It did not exist.
    Gone,
    /// A set, chain or rule was missing, changed, or added by another program.
    Altered,
    /// Another program changed the firewall, and the table is too large to compare.
    TooLarge,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("the table is correct"),
            Self::Elements {
                missing,
                extra,
                wrong_end,
            } => write!(
                f,
                "repaired the table: {missing} networks missing, {extra} extra, {wrong_end} with a wrong end"
            ),
            Self::Replaced { reason, networks } => {
                write!(
                    f,
                    "replaced the table, now with {networks} networks: {reason}"
                )
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "its state was unknown",
            Self::Gone => "it was missing",
            Self::Altered => "its sets, chains or rules were altered",
            Self::TooLarge => "the firewall changed, and the table is too large to compare",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repair_says_what_was_wrong() {
        let replaced = |reason| Repair::Replaced {
            reason,
            networks: 3,
        };
        let all = [
            Repair::Nothing,
            Repair::Elements {
                missing: 1,
                extra: 2,
                wrong_end: 0,
            },
            replaced(Reason::Unknown),
            replaced(Reason::Gone),
            replaced(Reason::Altered),
            replaced(Reason::TooLarge),
        ];
        insta::assert_snapshot!(all.map(|repair| repair.to_string()).join("\n"));
    }
}

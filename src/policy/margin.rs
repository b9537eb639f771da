//! What comparing a number with a threshold says, beyond yes or no.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::Comparison;
use super::test::comparison;

/// How far a number is from the threshold of its test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Margin {
    /// The number less the threshold, in the unit of the field's dimension.
    pub difference: f64,
    /// The number by the threshold, if that is above 0.
    pub ratio: Option<f64>,
    /// From 0, far from it, to 1, where the test holds or as good as holds.
    pub nearness: f64,
}

impl Margin {
    /// Of a number that a test with this comparison saw.
    pub fn of(comparison: Comparison, seen: f64, threshold: f64) -> Self {
        Self {
            difference: seen - threshold,
            ratio: (threshold > 0.0).then(|| seen / threshold),
            nearness: comparison.nearness(seen, threshold),
        }
    }
}

impl Comparison {
    /// The comparison that a test begins with, as a policy has it.
    pub fn of(test: &str) -> Option<Self> {
        comparison(test)
    }

    /// The comparison of a value with a threshold.
    pub fn function(self) -> fn(f64, f64) -> bool {
        match self {
            Self::Greater => |value, threshold| value > threshold,
            Self::GreaterOrEqual => |value, threshold| value >= threshold,
            Self::Less => |value, threshold| value < threshold,
            Self::LessOrEqual => |value, threshold| value <= threshold,
            Self::Equal => |value, threshold| value.total_cmp(&threshold).is_eq(),
            Self::NotEqual => |value, threshold| value.total_cmp(&threshold).is_ne(),
        }
    }

    /// Whether it holds for what compares so with the other side.
    pub const fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
        }
    }

    /// Whether it asks for much rather than for little.
    pub const fn is_upwards(self) -> bool {
        matches!(self, Self::Greater | Self::GreaterOrEqual)
    }

    fn nearness(self, seen: f64, threshold: f64) -> f64 {
        if self.function()(seen, threshold) {
            return 1.0;
        }
        let part = |part: f64, whole: f64| {
            if part > 0.0 && whole > 0.0 {
                (part / whole).min(1.0)
            } else {
                0.0
            }
        };
        match self {
            Self::Greater | Self::GreaterOrEqual => part(seen, threshold),
            Self::Less | Self::LessOrEqual => part(threshold, seen),
            Self::Equal => part(seen.min(threshold), seen.max(threshold)),
            Self::NotEqual => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins() {
        let margin = |test: &str, seen, threshold| {
            let Margin {
                difference,
                ratio,
                nearness,
            } = Margin::of(Comparison::of(test).unwrap(), seen, threshold);
            format!("{difference} {ratio:?} {nearness}")
        };
        assert_eq!(margin("> 4", 12.0, 4.0), "8 Some(3.0) 1");
        assert_eq!(margin(">= 4", 1.0, 4.0), "-3 Some(0.25) 0.25");
        assert_eq!(margin("< 4", 8.0, 4.0), "4 Some(2.0) 0.5");
        assert_eq!(margin("<= 4", 0.0, 4.0), "-4 Some(0.0) 1");
        assert_eq!(margin("== 4", 2.0, 4.0), "-2 Some(0.5) 0.5");
        assert_eq!(margin("!= 4", 4.0, 4.0), "0 Some(1.0) 0");
        assert_eq!(margin("> 0", -1.0, 0.0), "-1 None 0");
        assert_eq!(Comparison::of("=~ ^a"), None);
        assert_eq!(Comparison::of("not in @a"), None);
        assert_eq!(Comparison::of("electrum"), None);
    }
}

//! How numbers spread: counted by their leading bits, in memory that does not grow with their number.
//!
//! A bin is what a float's sign, exponent and first seven bits of mantissa have in common, so finding
//! it takes a shift, and whole numbers up to 256 have a bin each: most fields are small counts, which
//! a sketch with bins of logarithms would show as 2.99.

/// Bits of the mantissa that tell bins apart.
const BITS: u32 = 7;

/// A quantile is the true one cut towards zero by less than this part of it.
pub const RELATIVE_ERROR: f64 = 1.0 / (1 << BITS) as f64;

/// Magnitudes are told apart from here, 2^-40, to 2^64: a share of a terabyte's byte, and more than
/// any counter holds. What lies beyond is counted as if it lay there; least and greatest are exact.
const LEAST: f64 = 1.0 / (1_u64 << 40) as f64;
const GREATEST: f64 = 18_446_744_073_709_551_616.0;

/// The bits of a float that do not tell bins apart.
const SHIFT: u32 = f64::MANTISSA_DIGITS - 1 - BITS;

/// The bin of a magnitude, from 0 on.
fn bin(magnitude: f64) -> usize {
    let (first, last) = (LEAST.to_bits() >> SHIFT, GREATEST.to_bits() >> SHIFT);
    // As numbers, the bits of positive floats are in the order of the floats.
    let key = (magnitude.to_bits() >> SHIFT).clamp(first, last);
    usize::try_from(key - first).unwrap_or(usize::MAX)
}

/// The least magnitude of a bin.
fn edge(bin: usize) -> f64 {
    let first = LEAST.to_bits() >> SHIFT;
    f64::from_bits((first + bin as u64) << SHIFT)
}

/// Counts of magnitudes, from the first bin that is not empty on.
#[derive(Clone, Debug, Default)]
struct Bins {
    first: usize,
    counts: Vec<u64>,
    total: u64,
}

impl Bins {
    fn add(&mut self, bin: usize) {
        self.total += 1;
        match self.counts.get_mut(bin.wrapping_sub(self.first)) {
            Some(count) => *count += 1,
            None => self.widen(bin),
        }
    }

    /// Makes room for a bin, and counts one in it.
    #[cold]
    fn widen(&mut self, bin: usize) {
        if self.counts.is_empty() {
            self.first = bin;
        }
        let missing = self.first.saturating_sub(bin);
        self.counts.splice(0..0, std::iter::repeat_n(0, missing));
        self.first -= missing;
        let index = bin - self.first;
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] += 1;
    }

    /// Bins from the least magnitude up, with their counts.
    fn iter(&self) -> impl DoubleEndedIterator<Item = (usize, u64)> {
        let counts = self.counts.iter().enumerate();
        counts.map(|(index, &count)| (self.first + index, count))
    }
}

/// The spread of a field's numbers.
#[derive(Clone, Debug)]
pub struct Spread {
    below_zero: Bins,
    zeros: u64,
    above_zero: Bins,
    unknown: u64,
    infinite: u64,
    least: f64,
    greatest: f64,
}

impl Default for Spread {
    fn default() -> Self {
        Self {
            below_zero: Bins::default(),
            zeros: 0,
            above_zero: Bins::default(),
            unknown: 0,
            infinite: 0,
            least: f64::INFINITY,
            greatest: f64::NEG_INFINITY,
        }
    }
}

impl Spread {
    /// Takes in a number. NaN is not known, and no part of the spread; nor is what is infinite.
    /// Gives whether there was none as great.
    pub fn add(&mut self, number: f64) -> bool {
        if !number.is_finite() {
            self.unknown += u64::from(number.is_nan());
            self.infinite += u64::from(number.is_infinite());
            return false;
        }
        if number > 0.0 {
            self.above_zero.add(bin(number));
        } else if number < 0.0 {
            self.below_zero.add(bin(-number));
        } else {
            self.zeros += 1;
        }
        self.least = self.least.min(number);
        let is_greatest = number > self.greatest;
        if is_greatest {
            self.greatest = number;
        }
        is_greatest
    }

    /// Finite numbers.
    pub const fn count(&self) -> u64 {
        self.below_zero.total + self.zeros + self.above_zero.total
    }

    /// Of these, how many were 0.
    pub const fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Samples that could not be told.
    pub const fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Samples that were infinite: a server can say so of a cost.
    pub const fn infinite(&self) -> u64 {
        self.infinite
    }

    /// The least number, exactly.
    pub fn least(&self) -> Option<f64> {
        (self.count() > 0).then_some(self.least)
    }

    /// The greatest number, exactly.
    pub fn greatest(&self) -> Option<f64> {
        (self.count() > 0).then_some(self.greatest)
    }

    /// The number that a part `quantile`, 0 to 1, of all numbers does not exceed, by the nearest rank;
    /// cut towards zero by less than [`RELATIVE_ERROR`] of it.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let count = self.count();
        let rank = rank(quantile, count)?;
        if rank == 1 {
            return self.least();
        }
        if rank == count {
            return self.greatest();
        }
        let mut passed = 0;
        let found = self.edges().find(|&(_, count)| {
            passed += count;
            passed >= rank
        });
        found.map(|(edge, _)| edge.clamp(self.least, self.greatest))
    }

    /// How many numbers are at most so great, to within the width of a bin.
    pub fn at_most(&self, number: f64) -> u64 {
        match self.greatest() {
            Some(greatest) if number >= greatest => self.count(),
            _ => self
                .sum(|edge| edge <= number)
                .min(self.count_but_greatest()),
        }
    }

    /// How many numbers are less, to within the width of a bin.
    pub fn below(&self, number: f64) -> u64 {
        match self.greatest() {
            Some(greatest) if number > greatest => self.count(),
            _ => self
                .sum(|edge| edge < number)
                .min(self.count_but_greatest()),
        }
    }

    fn count_but_greatest(&self) -> u64 {
        self.count().saturating_sub(1)
    }

    fn sum(&self, is_in: impl Fn(f64) -> bool) -> u64 {
        let edges = self.edges().filter(|&(edge, _)| is_in(edge));
        edges.map(|(_, count)| count).sum()
    }

    /// Each bin's edge nearest to zero, from the least number up, with its count.
    fn edges(&self) -> impl Iterator<Item = (f64, u64)> {
        let below = self.below_zero.iter().rev();
        let below = below.map(|(bin, count)| (-edge(bin), count));
        let above = self.above_zero.iter();
        let above = above.map(|(bin, count)| (edge(bin), count));
        below.chain(std::iter::once((0.0, self.zeros))).chain(above)
    }

    /// For a chart: how many numbers are 0 or less, and how many in each of `cells` equal steps of the
    /// logarithm from the least positive number to the greatest. No cells if none is positive.
    pub fn cells(&self, cells: usize) -> (u64, Vec<u64>) {
        let rest = self.below_zero.total + self.zeros;
        let width = self.above_zero.counts.len();
        if width == 0 {
            return (rest, Vec::new());
        }
        let cells = cells.max(1);
        let mut counts = vec![0; cells];
        for (index, count) in self.above_zero.counts.iter().enumerate() {
            counts[index * cells / width] += count;
        }
        (rest, counts)
    }

    /// Where a positive number lies on that chart, from 0 to 1; beyond it is possible.
    pub fn place(&self, number: f64) -> Option<f64> {
        let width = self.above_zero.counts.len();
        let is_charted = width > 0 && number > 0.0;
        is_charted.then(|| {
            let bins = bin(number) as f64 - self.above_zero.first as f64;
            (bins + 0.5) / width as f64
        })
    }
}

/// From 1 on; `None` of nothing.
fn rank(quantile: f64, count: u64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped"
    )]
    let rank = (quantile * count as f64).ceil() as u64;
    (count > 0).then(|| rank.clamp(1, count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(numbers: impl IntoIterator<Item = f64>) -> Spread {
        let mut spread = Spread::default();
        for number in numbers {
            spread.add(number);
        }
        spread
    }

    fn exactly(number: Option<f64>) -> Option<u64> {
        number.map(f64::to_bits)
    }

    #[test]
    fn small_whole_numbers_are_exact() {
        let spread = of((0..=256).map(f64::from));
        for rank in 1..=257_u32 {
            let quantile = (f64::from(rank) - 0.5) / 257.0;
            assert_eq!(
                exactly(spread.quantile(quantile)),
                exactly(Some(f64::from(rank - 1))),
            );
        }
        assert_eq!((spread.at_most(3.0), spread.below(3.0)), (4, 3));
    }

    #[test]
    fn nothing_has_no_quantile() {
        let spread = of([f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
        assert_eq!((spread.quantile(0.5), spread.greatest()), (None, None));
        assert_eq!((spread.count(), spread.unknown()), (0, 1));
        assert_eq!((spread.infinite(), spread.at_most(1.0)), (2, 0));
        assert_eq!(spread.cells(8), (0, vec![]));
    }

    #[test]
    fn the_greatest_is_told_when_it_comes() {
        let mut spread = Spread::default();
        let told: Vec<bool> = [-3.0, -4.0, f64::INFINITY, 0.0, 0.0, 7.0, f64::NAN, 6.0]
            .map(|number| spread.add(number))
            .into();
        let expected = [true, false, false, true, false, true, false, false];
        assert_eq!(told, expected);
        assert_eq!(exactly(spread.least()), exactly(Some(-4.0)));
        assert_eq!(spread.zeros(), 2);
    }

    #[test]
    fn magnitudes_beyond_all_reason_take_no_room() {
        let spread = of([1e-300, f64::MIN_POSITIVE, 1e300, f64::MAX, -1e300]);
        assert!(spread.above_zero.counts.len() <= 105 << BITS);
        assert_eq!(exactly(spread.greatest()), exactly(Some(f64::MAX)));
        assert_eq!(exactly(spread.quantile(0.0)), exactly(Some(-1e300)));
    }

    /// Of an exponential distribution the p-quantile is -ln(1 - p).
    #[test]
    fn known_distributions_come_out() {
        let count = 100_000;
        let steps = (0..count).map(|i| (f64::from(i) + 0.5) / f64::from(count));
        let exponential = of(steps.clone().map(|p| -(1.0 - p).ln() * 1e6));
        let uniform = of(steps);
        for p in [0.5, 0.9, 0.99, 0.999] {
            let near = |seen: Option<f64>, true_one: f64| {
                let seen = seen.unwrap();
                let low = true_one * (1.0 - RELATIVE_ERROR);
                assert!(
                    low * 0.999 <= seen && seen <= true_one * 1.001,
                    "{seen} {true_one}"
                );
            };
            near(exponential.quantile(p), -(1.0 - p).ln() * 1e6);
            near(uniform.quantile(p), p);
        }
    }

    #[test]
    fn a_chart_has_zeros_apart() {
        let spread = of([0.0, 0.0, 1.0, 2.0, 2.0, 1_024.0, -1.0]);
        let (rest, cells) = spread.cells(11);
        assert_eq!((rest, cells.len()), (3, 11));
        assert_eq!((cells[0], cells[1], cells[10]), (1, 2, 1));
        assert!(spread.place(1.0).unwrap() < 0.1 && spread.place(1_024.0).unwrap() > 0.9);
        assert_eq!(spread.place(0.0), None);
    }

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            (-30.0..60.0_f64, prop::bool::ANY).prop_map(|(exponent, negative)| {
                exponent.exp2() * if negative { -1.0 } else { 1.0 }
            }),
            (0..400_u32).prop_map(f64::from),
            Just(0.0),
        ]
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_its_error(
            mut numbers in prop::collection::vec(number(), 1..300),
            quantile in 0.0..=1.0_f64,
        ) {
            let spread = of(numbers.iter().copied());
            numbers.sort_by(f64::total_cmp);
            let count = numbers.len() as u64;
            let rank = rank(quantile, count).unwrap();
            let true_one = numbers[usize::try_from(rank).unwrap() - 1];
            let seen = spread.quantile(quantile).unwrap();
            prop_assert!((true_one - seen) * true_one.signum() >= 0.0, "{true_one} {seen}");
            prop_assert!((true_one - seen).abs() <= true_one.abs() * RELATIVE_ERROR);
        }

        #[test]
        fn ranks_are_within_a_bin(numbers in prop::collection::vec(number(), 1..300), mark in number()) {
            let spread = of(numbers.iter().copied());
            let count = |limit: f64| numbers.iter().filter(|&&n| n <= limit).count() as u64;
            let slack = mark.abs() * RELATIVE_ERROR * 1.01;
            prop_assert!(count(mark - slack) <= spread.at_most(mark));
            prop_assert!(spread.at_most(mark) <= count(mark + slack));
            prop_assert!(spread.below(mark) <= spread.at_most(mark));
            // Whether anything exceeds a mark is exact.
            let is_exceeded = numbers.iter().any(|&n| n > mark);
            prop_assert_eq!(spread.at_most(mark) < spread.count(), is_exceeded);
        }
    }
}

//! Room for columns that grow by a few slots at most polls.

/// Sees to it that `column` can take `len` entries, and an eighth more.
///
/// Doubling would leave half of every column empty, and the smaller ones behind as holes in the heap.
pub(crate) fn make_room<T>(column: &mut Vec<T>, len: usize) {
    if len > column.capacity() {
        column.reserve_exact(len + len / 8 - column.len());
    }
}

/// Makes `column` so long; what is new is `value`.
pub(crate) fn stretch<T: Clone>(column: &mut Vec<T>, len: usize, value: T) {
    make_room(column, len);
    column.resize(len, value);
}

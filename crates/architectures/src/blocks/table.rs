//! Rows of a table of words, as large as vocabularies are.

use std::ops::Range;

use crate::error::Result;
use crate::network::{Scope, Value};

/// Most numbers of a table that is read at once: at 16 bits each they fit into a binding of 128 MiB.
const LARGEST_TABLE: usize = 60 << 20;

impl Scope<'_, '_> {
    /// Rows `weight` `[count, width]` of the ids `[1, tokens]`, from as many parts of the table as bindings need.
    pub fn rows_of_table(&mut self, ids: Value, [count, width]: [usize; 2]) -> Result<Value> {
        self.rows_among(ids, "weight", &[count, width], 0..count)
    }

    /// [`Self::rows_of_table`] of a weight of this shape, of which `among` alone are kept; ids `[1, tokens]` count from
    /// their first.
    pub fn rows_among(
        &mut self,
        ids: Value,
        name: &str,
        shape: &[usize],
        among: Range<usize>,
    ) -> Result<Value> {
        let width = shape.last().copied().unwrap_or(1);
        let part = (LARGEST_TABLE / width).max(1);
        let size_of_all = among.len();
        let mut found = None;
        for start in (0..size_of_all).step_by(part) {
            let size = part.min(size_of_all - start);
            let first = among.start + start;
            let table = self.weight_rows(name, shape, first..first + size)?;
            let Some(before) = found else {
                // An id beyond this part takes a row that a later part replaces.
                let last = self.integers(&[size as i64 - 1]);
                let own = if size == size_of_all {
                    ids
                } else {
                    self.node("Min", &[ids, last], &[])
                };
                found = Some(self.node("Gather", &[table, own], &[]));
                continue;
            };
            let [first, zero, last] =
                [start as i64, 0, size as i64 - 1].map(|number| self.integers(&[number]));
            let own = self.node("Sub", &[ids, first], &[]);
            let own = self.node("Max", &[own, zero], &[]);
            let own = self.node("Min", &[own, last], &[]);
            let rows = self.node("Gather", &[table, own], &[]);
            let here = self.node("GreaterOrEqual", &[ids, first], &[]);
            let here = self.reshaped(here, &[1, -1, 1]);
            found = Some(self.node("Where", &[here, rows, before], &[]));
        }
        Ok(found.unwrap_or(ids))
    }
}

//! Rows of a table of words.

use crate::error::Result;
use crate::network::{Scope, Value};

/// Most numbers of a table that is read at once: at 16 bits each they fit into a binding of 128 MiB.
const LARGEST_TABLE: usize = 60 << 20;

impl Scope<'_, '_> {
    /// Rows `weight` `[count, width]` of the ids `[1, tokens]`, from as many parts of the table as bindings need.
    pub fn rows_of_table(&mut self, ids: Value, [count, width]: [usize; 2]) -> Result<Value> {
        let part = (LARGEST_TABLE / width).max(1);
        let mut found = None;
        for start in (0..count).step_by(part) {
            let size = part.min(count - start);
            let table = self.weight_rows("weight", &[count, width], start..start + size)?;
            let Some(before) = found else {
                // An id beyond this part takes a row that a later part replaces.
                let last = self.integers(&[size as i64 - 1]);
                let own = if size == count {
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

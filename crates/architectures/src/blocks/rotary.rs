//! What a configuration says of rotations, and angles of places that have three axes: of words, rows and columns.

use serde_json::{Map, Value as Json};

use crate::config::Members;
use crate::error::Result;
use crate::network::{Scope, Value};

/// The base of the rotation's frequencies: a member of its own in files of before transformers 5, one of `rope_parameters` since.
pub(crate) fn theta(members: &mut Members) -> Result<f64> {
    members.only("rope_scaling", &[])?;
    let own = members.get::<f64>("rope_theta")?;
    let parameters = members
        .get::<Map<String, Json>>("rope_parameters")?
        .unwrap_or_default();
    let mut theta = own.unwrap_or(10_000.0);
    for (name, value) in parameters {
        match (&*name, value.as_f64(), value.as_str()) {
            ("rope_theta", Some(stated), _) => theta = stated,
            ("rope_type" | "type", _, Some("default")) => {}
            _ => {
                let stated = format!("{name}: {value}");
                return Err(members.wrong(
                    "rope_parameters",
                    stated,
                    "such rotations are not built",
                ));
            }
        }
    }
    if theta.is_finite() && theta > 0.0 {
        Ok(theta)
    } else {
        Err(members.wrong("rope_theta", theta, "a number above 0 is wanted"))
    }
}

impl Scope<'_, '_> {
    /// Angles `[tokens, half of a head]` of the places `(place, 0, 0)`; `places` are `[tokens, 1]`.
    pub fn along_first(&mut self, places: Value, axes: &[usize], theta: f64) -> Value {
        let others: usize = axes.iter().skip(1).map(|axis| axis / 2).sum();
        let frequencies = self.frequencies(axes[0], theta);
        let first = self.multiply(places, frequencies);
        let zeros = self.still(first, others as i64);
        self.node("Concat", &[first, zeros], &[("axis", (-1).into())])
    }

    /// Angles `[tokens, half of a head]` of the places `(first, row, column)` of a grid, row by row; `first` is a number of the
    /// graph, `[1]` or a scalar, and `sides` say how many are down and across, `[1]` each.
    pub fn across_grid(
        &mut self,
        first: Value,
        sides: [Value; 2],
        axes: &[usize],
        theta: f64,
    ) -> Value {
        let halves: Vec<i64> = axes.iter().map(|axis| *axis as i64 / 2).collect();
        let [of_first, of_rows, of_columns] =
            [0, 1, 2].map(|axis: usize| self.frequencies(axes[axis], theta));
        let [down, across] = sides.map(|side| {
            let side = self.scalar(side);
            self.places(side)
        });
        let down = self.multiply(down, of_rows);
        let down = self.reshaped(down, &[-1, 1, halves[1]]);
        let across = self.multiply(across, of_columns);
        let across = self.reshaped(across, &[1, -1, halves[2]]);
        let first = self.multiply(first, of_first);
        let first = self.reshaped(first, &[1, 1, halves[0]]);
        // Sums with zeros repeat an axis along the others.
        let zeros = self.still(across, halves[1]);
        let rows = self.add(down, zeros);
        let zeros = self.still(down, halves[2]);
        let columns = self.add(across, zeros);
        let zeros = self.still(rows, halves[0]);
        let first = self.add(first, zeros);
        let all = [first, rows, columns];
        let all = self.node("Concat", &all, &[("axis", (-1).into())]);
        self.reshaped(all, &[-1, halves.iter().sum()])
    }
}

//! Planes to rows and back, and planes of another size.

use crate::network::{Scope, Value};

impl Scope<'_, '_> {
    /// A row for each pixel.
    pub fn rows_of_planes(&mut self, planes: Value, channels: usize) -> Value {
        let flat = self.reshaped(planes, &[0, channels as i64, -1]);
        let tokens = self.node("Transpose", &[flat], &[("perm", [0, 2, 1].into())]);
        self.rows(tokens, channels)
    }

    /// The inverse of [`Self::rows_of_planes`], for as many pixels as `like` has, which has as many channels.
    pub fn planes_of_rows(&mut self, rows: Value, channels: usize, like: Value) -> Value {
        let tokens = self.tokens(rows, channels);
        let flat = self.node("Transpose", &[tokens], &[("perm", [0, 2, 1].into())]);
        let shape = self.node("Shape", &[like], &[]);
        self.node("Reshape", &[flat, shape], &[])
    }

    /// Every pixel `factor` times in both directions.
    pub fn enlarged(&mut self, planes: Value, factor: f32) -> Value {
        let scales = self.floats(&[4], &[1.0, 1.0, factor, factor]);
        let attributes = [
            ("mode", "nearest".into()),
            ("coordinate_transformation_mode", "asymmetric".into()),
            ("nearest_mode", "floor".into()),
        ];
        self.node("Resize", &[planes, Value::NONE, scales], &attributes)
    }
}

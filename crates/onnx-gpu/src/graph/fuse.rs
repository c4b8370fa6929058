//! Rewrites node patterns that a kernel computes in one dispatch.

use super::Graph;

impl Graph {
    /// Applies every rewrite.
    pub(super) fn fuse(&mut self) {}
}

//! Scaled dot-product attention (Vaswani et al., arXiv:1706.03762).

use crate::network::{Scope, Value};

/// How attention is cut up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heads {
    /// Of the queries.
    pub count: usize,
    /// Of keys and values: each serves as many of the queries'.
    pub shared: usize,
    /// Width of one.
    pub size: usize,
    /// Whether a token sees those before it alone.
    pub causal: bool,
}

impl Heads {
    /// `count` heads that see everything.
    pub fn of(count: usize, width: usize) -> Self {
        Self {
            count,
            shared: count,
            size: width / count,
            causal: false,
        }
    }
}

impl Scope<'_, '_> {
    /// Rows of queries, keys and values to rows; keys and values may have another number of tokens.
    pub fn attention(&mut self, [q, k, v]: [Value; 3], heads: Heads) -> Value {
        let wide = heads.count * heads.size;
        let narrow = heads.shared * heads.size;
        let q = self.tokens(q, wide);
        let k = self.tokens(k, narrow);
        let v = self.tokens(v, narrow);
        let mut attributes = vec![
            ("q_num_heads", (heads.count as i64).into()),
            ("kv_num_heads", (heads.shared as i64).into()),
        ];
        if heads.causal {
            attributes.push(("is_causal", 1.into()));
        }
        let out = self.node("Attention", &[q, k, v], &attributes);
        self.rows(out, wide)
    }
}

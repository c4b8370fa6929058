//! Sums and maxima over a workgroup, in the form that suits the adapter.

use super::{AdapterClass, cover, fold as fold_groups};
use crate::Result;

/// How the rows of a row-wise kernel are shared out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// One invocation per row, no barriers: many rows on a CPU.
    Invocation,
    /// One workgroup of this many invocations per row.
    Workgroup(usize),
}

/// Fewest rows that keep a CPU busy with one invocation each.
const INVOCATION_ROWS: usize = 64;

impl Rows {
    pub(super) fn of(class: AdapterClass, rows: usize, length: usize) -> Self {
        match class {
            AdapterClass::Software if rows >= INVOCATION_ROWS => Self::Invocation,
            _ => Self::Workgroup(width(class, length)),
        }
    }

    /// Invocations that share a row.
    pub(super) fn width(self) -> usize {
        match self {
            Self::Invocation => 1,
            Self::Workgroup(width) => width,
        }
    }

    /// Workgroups for `rows` rows.
    pub(super) fn groups(self, rows: usize) -> Result<[u32; 3]> {
        match self {
            Self::Invocation => cover(rows),
            Self::Workgroup(_) => fold_groups(rows),
        }
    }

    /// Name for pipeline keys.
    pub(super) fn key(self, class: AdapterClass) -> String {
        match self {
            Self::Invocation => "invocation".to_owned(),
            Self::Workgroup(width) => format!("{width}-{class:?}"),
        }
    }

    /// `@workgroup_size`, the distance between the elements of one invocation, and the statements that define `row`
    /// and `lane`.
    pub(super) fn layout(self) -> [String; 3] {
        match self {
            Self::Invocation => [
                "64".to_owned(),
                "1".to_owned(),
                "    let row = (wid.y * groups.x + wid.x) * 64u + lid;\n    let lane = 0u;\n"
                    .to_owned(),
            ],
            Self::Workgroup(width) => [
                width.to_string(),
                width.to_string(),
                "    let row = wid.y * groups.x + wid.x;\n    let lane = lid;\n".to_owned(),
            ],
        }
    }

    /// See [`fold`]; the identity where a row has one invocation.
    pub(super) fn fold(self, class: AdapterClass, name: &str, item: &str, combine: &str) -> String {
        match self {
            Self::Invocation => {
                format!("fn {name}(lane: u32, value: {item}) -> {item} {{\n    return value;\n}}\n")
            }
            Self::Workgroup(width) => fold(class, width, name, item, combine),
        }
    }
}

/// Invocations that share one row of `length` elements.
pub(super) fn width(class: AdapterClass, length: usize) -> usize {
    match (class, length) {
        (AdapterClass::Software, 0..=4095) => 16,
        (AdapterClass::Software, _) | (AdapterClass::Hardware, 0..=255) => 64,
        (AdapterClass::Hardware, _) => 256,
    }
}

/// `fn {name}(lane: u32, value: {item}) -> {item}`: `combine(a, b)` over every invocation's value.
///
/// One round in which everyone reads everything where barriers are what costs, a tree elsewhere.
pub(super) fn fold(
    class: AdapterClass,
    width: usize,
    name: &str,
    item: &str,
    combine: &str,
) -> String {
    let body = match class {
        AdapterClass::Software => format!(
            "    workgroupBarrier();
    {name}_shared[lane] = value;
    workgroupBarrier();
    var a = {name}_shared[0];
    for (var i = 1u; i < {width}u; i += 1u) {{
        let b = {name}_shared[i];
        a = {combine};
    }}
    return a;"
        ),
        AdapterClass::Hardware => format!(
            "    workgroupBarrier();
    {name}_shared[lane] = value;
    workgroupBarrier();
    for (var half = {}u; half > 0u; half = half >> 1u) {{
        if (lane < half) {{
            let a = {name}_shared[lane];
            let b = {name}_shared[lane + half];
            {name}_shared[lane] = {combine};
        }}
        workgroupBarrier();
    }}
    return {name}_shared[0];",
            width / 2
        ),
    };
    format!(
        "var<workgroup> {name}_shared: array<{item}, {width}>;
fn {name}(lane: u32, value: {item}) -> {item} {{
{body}
}}
"
    )
}

//! Sums and maxima over a workgroup, in the form that suits the adapter.

use super::AdapterClass;

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

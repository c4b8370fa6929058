// One invocation per element: its rank in its line, and its place if the rank is below k.
struct Params {
    len: u32,
    axis: u32,
    inner: u32,
    k: u32,
    largest: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<i32>;

// Larger keys come first.
fn key(at: u32) -> u32 {
    let bits = in_x[at];
    let ascending = {{key}};
    return select(~ascending, ascending, params.largest != 0u);
}

{{line}}
{{each}}    if (i >= params.len) {
        return;
    }
    let at = spot(i, params.axis, params.inner);
    let start = at.outer * params.axis * params.inner + at.lane;
    let own = key(i);
    var rank = 0u;
    for (var other = 0u; other < params.axis; other += 1u) {
        let k = key(start + other * params.inner);
        rank += select(0u, 1u, k > own || (k == own && other < at.place));
    }
    if (rank < params.k) {
        out[(at.outer * params.k + rank) * params.inner + at.lane] = i32(at.place);
    }
}

// One invocation per element of a slice, over all tuples: those that name one slice are combined in their order.
struct Params {
    dims: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 2>,
    slice: u32,
    depth: u32,
    tuples: u32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_indices: array<i32>;
@group(0) @binding(2) var<storage, read> in_updates: array<{{item}}>;
@group(0) @binding(3) var<storage, read_write> out: array<{{item}}>;

fn combine(a: {{item}}, b: {{item}}) -> {{item}} {
    return {{combine}};
}

{{tuple}}
{{each}}    if (i >= params.slice) {
        return;
    }
    for (var tuple = 0u; tuple < params.tuples; tuple += 1u) {
        let slice = slice_of(tuple);
        if (slice.inside) {
            let at = slice.at + i;
            out[at] = combine(out[at], in_updates[tuple * params.slice + i]);
        }
    }
}

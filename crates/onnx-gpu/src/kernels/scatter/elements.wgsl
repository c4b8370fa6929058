// One invocation per line along the axis: updates of a line may meet in one element, those of two lines cannot.
struct Params {
    dims: array<vec4<u32>, 2>,
    data_strides: array<vec4<u32>, 2>,
    index_strides: array<vec4<u32>, 2>,
    lines: u32,
    rank: u32,
    count: u32,
    size: u32,
    data_step: u32,
    index_step: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_indices: array<i32>;
@group(0) @binding(2) var<storage, read> in_updates: array<{{item}}>;
@group(0) @binding(3) var<storage, read_write> out: array<{{item}}>;

fn combine(a: {{item}}, b: {{item}}) -> {{item}} {
    return {{combine}};
}

{{wrapped}}{{line_starts}}
{{each}}    if (i >= params.lines) {
        return;
    }
    // In the data and in the indices.
    let start = line_starts(i);
    for (var j = 0u; j < params.count; j += 1u) {
        let from_at = start.y + j * params.index_step;
        let place = wrapped(in_indices[from_at], params.size);
        if (place >= 0 && place < i32(params.size)) {
            let at = start.x + u32(place) * params.data_step;
            out[at] = combine(out[at], in_updates[from_at]);
        }
    }
}

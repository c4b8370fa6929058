struct Params {
    dims: array<vec4<u32>, 2>,
    in_strides: array<vec4<i32>, 2>,
    out_strides: array<vec4<i32>, 2>,
    len: u32,
    rank: u32,
    in_offset: i32,
    out_offset: i32,
    // Input step within a run of four.
    in_step: i32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<{{in_item}}>;
@group(0) @binding(2) var<storage, read_write> out: array<{{out_item}}>;

{{each}}    if (i >= params.len) {
        return;
    }
    var rest = i;
    var from_at = params.in_offset;
    var to_at = params.out_offset;
    let first = 8u - params.rank;
    for (var axis = 7u; axis > first; axis -= 1u) {
        let dim = params.dims[axis / 4u][axis % 4u];
        let next = rest / dim;
        let at = i32(rest - next * dim);
        from_at += at * params.in_strides[axis / 4u][axis % 4u];
        to_at += at * params.out_strides[axis / 4u][axis % 4u];
        rest = next;
    }
    from_at += i32(rest) * params.in_strides[first / 4u][first % 4u];
    to_at += i32(rest) * params.out_strides[first / 4u][first % 4u];
    out[u32(to_at)] = {{value}};
}

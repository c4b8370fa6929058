// Output element i takes its position from i along every axis but `axis`, there from the indices.
struct Params {
    dims: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 2>,
    len: u32,
    rank: u32,
    size: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> {{first}};
@group(0) @binding(2) var<storage, read> {{second}};
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

{{wrapped}}{{line_start}}
{{each}}    if (i >= params.len) {
        return;
    }
    let index = wrapped(in_indices[i], params.size);
    let inside = index >= 0 && index < i32(params.size);
    // The stride along `axis` is 0 in the table.
    let at = line_start(i) + nearest(index, params.size) * params.stride;
    {{move}}
}

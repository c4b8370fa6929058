// Four consecutive outputs per invocation, inputs addressed through stride tables.
struct Params {
    dims: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 6>,
    scalar: vec4<u32>,
    op: vec4<u32>,
    len: u32,
    rank: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
{{bindings}}
{{function}}
{{steps}}
// Offset of output element `index` in each input.
fn offsets(index: u32) -> vec3<u32> {
    return params.scalar.xyz + steps(min(index, params.len - 1u));
}

{{each}}    if (i * 4u >= params.len) {
        return;
    }
{{offsets}}{{loads}}    out[i] = {{call}};
}

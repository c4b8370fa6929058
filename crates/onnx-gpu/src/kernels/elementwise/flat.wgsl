// One vec4 per invocation; an input is as long as the output or a single element.
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
{{each}}    if (i * 4u >= params.len) {
        return;
    }
{{loads}}    out[i] = {{call}};
}

// Every invocation writes one word of two 16-bit elements.
struct Params {
    dims: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 2>,
    len: u32,
    rank: u32,
    offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

{{steps}}
fn element(index: u32) -> u32 {
    let at = params.offset + steps(min(index, params.len - 1u));
    return extractBits(in_x[at / 2u], at % 2u * 16u, 16u);
}

{{each}}    if (i * 2u >= params.len) {
        return;
    }
    out[i] = element(i * 2u) | (element(i * 2u + 1u) << 16u);
}

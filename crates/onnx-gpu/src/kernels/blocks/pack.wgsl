// Every invocation writes one block.
struct Params {
    blocks: u32,
    per_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_q: array<u32>;
@group(0) @binding(2) var<storage, read> in_scale: array<f32>;
{{zero_binding}}@group(0) @binding({{out}}) var<storage, read_write> out: array<u32>;

fn byte(at: u32) -> u32 {
    return {{byte}};
}

{{each}}    if (i >= params.blocks) {
        return;
    }
    let row = i / params.per_row;
    let column = i - row * params.per_row;
    let first = i * {{words}}u;
    out[first] = bitcast<u32>(in_scale[i]);
    out[first + 1u] = bitcast<u32>(f32({{zero}}));
    for (var w = 2u; w < {{words}}u; w += 1u) {
        let at = i * {{bytes}}u + (w - 2u) * 4u;
        out[first + w] = byte(at) | (byte(at + 1u) << 8u) | (byte(at + 2u) << 16u) | (byte(at + 3u) << 24u);
    }
}

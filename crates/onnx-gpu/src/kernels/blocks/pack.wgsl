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

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let block = (wid.y * groups.x + wid.x) * 64u + lid;
    if (block >= params.blocks) {
        return;
    }
    let row = block / params.per_row;
    let column = block - row * params.per_row;
    let first = block * {{words}}u;
    out[first] = bitcast<u32>(in_scale[block]);
    out[first + 1u] = bitcast<u32>(f32({{zero}}));
    for (var i = 2u; i < {{words}}u; i += 1u) {
        let at = block * {{bytes}}u + (i - 2u) * 4u;
        out[first + i] = byte(at) | (byte(at + 1u) << 8u) | (byte(at + 2u) << 16u) | (byte(at + 3u) << 24u);
    }
}

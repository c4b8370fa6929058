// Every invocation unpacks one word.
struct Params {
    len: u32,
    words: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<{{output}}>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let index = (wid.y * groups.x + wid.x) * 64u + lid;
    if (index >= params.words) {
        return;
    }
    let word = in_x[index];
    let first = index * {{per_word}}u;
    for (var i = 0u; i < {{per_word}}u; i += 1u) {
        if (first + i < params.len) {
            out[first + i] = {{value}};
        }
    }
}

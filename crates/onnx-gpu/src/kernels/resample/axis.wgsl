struct Params {
    len: u32,
    input: u32,
    output: u32,
    inner: u32,
    taps: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<f32>;
@group(0) @binding(2) var<storage, read> in_weights: array<f32>;
@group(0) @binding(3) var<storage, read> in_indices: array<i32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let i = (wid.y * groups.x + wid.x) * 64u + lid;
    if (i >= params.len) {
        return;
    }
    let row = i / params.inner;
    let lane = i - row * params.inner;
    let outer = row / params.output;
    let place = row - outer * params.output;
    var sum = 0.0;
    for (var t = 0u; t < params.taps; t += 1u) {
        let weight = in_weights[place * params.taps + t];
        let index = in_indices[place * params.taps + t];
        if (index < 0) {
            sum += weight;
        } else if (weight != 0.0) {
            sum += weight * in_x[(outer * params.input + u32(index)) * params.inner + lane];
        }
    }
    out[i] = sum;
}

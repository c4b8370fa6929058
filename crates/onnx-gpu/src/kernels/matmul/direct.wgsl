// Barrier-free: 16 invocations side by side, each {{row_count}} rows by {{col_count}} columns that lie 16 apart, so that
// neighbours read neighbouring elements of B and all read the same element of A.
struct Params {
    dims: array<vec4<u32>, 2>,
    a_strides: array<vec4<u32>, 2>,
    b_strides: array<vec4<u32>, 2>,
    bias: vec4<u32>,
    act: vec2<f32>,
    alpha: f32,
    beta: f32,
    m: u32,
    n: u32,
    k: u32,
    rank: u32,
    a_row: u32,
    a_k: u32,
    b_k: u32,
    b_col: u32,
    a_start: u32,
    b_start: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
{{a}}{{b}}{{bias_binding}}@group(0) @binding({{out}}) var<storage, read_write> out: array<f32>;
{{activation}}
{{batch}}
fn store(batch: u32, row: u32, cols: vec4<u32>, sum: vec4<f32>) {
    if (row >= params.m) {
        return;
    }
    var value = params.alpha * sum;
{{bias}}    value = activate(value, params.act);
    let base = (batch * params.m + row) * params.n;
    if (cols.x < params.n) { out[base + cols.x] = value.x; }
    if (cols.y < params.n) { out[base + cols.y] = value.y; }
    if (cols.z < params.n) { out[base + cols.z] = value.z; }
    if (cols.w < params.n) { out[base + cols.w] = value.w; }
}

@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row0 = wid.y * {{row_count}}u;
    let cols = vec4<u32>(0u, 16u, 32u, 48u) + wid.x * {{width}}u + lane;
    let last = params.m - 1u;
    let start = batch_offsets(wid.z);
    let b_start = start.y + cols * params.b_col;
{{declare}}    for (var k = 0u; k < params.k; k += 1u) {
        let a_at = k * params.a_k;
        let b_at = b_start + k * params.b_k;
        let b = load4_b(b_at);
{{multiply}}    }
{{store}}}

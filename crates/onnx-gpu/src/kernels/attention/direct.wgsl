// Barrier-free: 16 invocations side by side, each 4 queries that lie 16 apart, {{keys}} keys at a time.
{{common}}
@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let rows = vec4<u32>(0u, 16u, 32u, 48u) + wid.x * 64u + lane;
    if (rows.x >= params.m) {
        return;
    }
    let start = starts(wid.z);
    let safe = min(rows, vec4<u32>(params.m - 1u));
    let q_row = start[0] + safe * params.place[0].y;
    let mask_at = start[3] + safe * params.place[3].y;
    let last = params.n - 1u;
    var best = vec4<f32>(LOWEST);
    var total = vec4<f32>(0.0);
    var sums: array<vec4<f32>, {{size}}>;
    for (var j = 0u; j < params.n; j += {{keys}}u) {
{{places}}        for (var i = 0u; i < params.d; i += 1u) {
            let q_at = q_row + i * params.place[0].z;
            let k_at = i * params.place[1].y;
            let q = vec4<f32>(in_q[q_at.x], in_q[q_at.y], in_q[q_at.z], in_q[q_at.w]);
{{scores}}        }
{{finish}}        let top = {{top}};
        let shrink = exp(best - top);
        best = top;
{{weights}}        total = {{total}};
        for (var i = 0u; i < params.e; i += 1u) {
            let v_at = i * params.place[2].z;
            sums[i] = sums[i] * shrink{{sum}};
        }
    }
    let out_row = start[4] + rows * params.place[4].y;
    for (var i = 0u; i < params.e; i += 1u) {
        let at = out_row + i * params.place[4].z;
        let sum = sums[i];
        let value = {{quotient}};
        out[at.x] = value.x;
        if (rows.y < params.m) { out[at.y] = value.y; }
        if (rows.z < params.m) { out[at.z] = value.z; }
        if (rows.w < params.m) { out[at.w] = value.w; }
    }
}

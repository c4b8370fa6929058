// 64 queries per workgroup, one per invocation; {{keys}} keys and then their values at a time in workgroup memory.
{{common}}
var<workgroup> tile: array<f32, {{tile}}>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let query = wid.x * 64u + lane;
    let row = min(query, params.m - 1u);
    let start = starts(wid.z);
    var q: array<f32, {{depth}}>;
    for (var i = 0u; i < params.d; i += 1u) {
        q[i] = in_q[start[0] + row * params.place[0].y + i * params.place[0].z] * params.scale;
    }
    var best = LOWEST;
    var total = 0.0;
    var sums: array<f32, {{depth}}>;
    for (var j = 0u; j < params.n; j += {{keys}}u) {
        let count = min({{keys}}u, params.n - j);
        workgroupBarrier();
        for (var t = lane; t < count * params.d; t += 64u) {
            let key = t / params.d;
            let i = t - key * params.d;
            tile[key * {{depth}}u + i] = in_k[start[1] + i * params.place[1].y + (j + key) * params.place[1].z];
        }
        workgroupBarrier();
        var scores: array<f32, {{keys}}>;
        var top = best;
        for (var key = 0u; key < count; key += 1u) {
            var dot = 0.0;
            for (var i = 0u; i < params.d; i += 1u) {
                dot += q[i] * tile[key * {{depth}}u + i];
            }
            let score = {{score}}{{mask}};
            scores[key] = score;
            top = max(top, score);
        }
        workgroupBarrier();
        for (var t = lane; t < count * params.e; t += 64u) {
            let key = t / params.e;
            let i = t - key * params.e;
            tile[key * {{depth}}u + i] = in_v[start[2] + (j + key) * params.place[2].y + i * params.place[2].z];
        }
        workgroupBarrier();
        let shrink = exp(best - top);
        best = top;
        total *= shrink;
        for (var i = 0u; i < params.e; i += 1u) {
            sums[i] *= shrink;
        }
        for (var key = 0u; key < count; key += 1u) {
            let p = exp(scores[key] - top);
            total += p;
            for (var i = 0u; i < params.e; i += 1u) {
                sums[i] += p * tile[key * {{depth}}u + i];
            }
        }
    }
    if (query >= params.m) {
        return;
    }
    for (var i = 0u; i < params.e; i += 1u) {
        let sum = sums[i];
        out[start[4] + row * params.place[4].y + i * params.place[4].z] = {{quotient}};
    }
}

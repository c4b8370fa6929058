// One workgroup per output element.
{{common}}
{{fold}}
@compute @workgroup_size({{width}})
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = wid.y * groups.x + wid.x;
    if (i >= params.outputs) {
        return;
    }
    let output = i / params.runs;
    let base = kept_offset(output);
    let first = (i - output * params.runs) * params.run;
    let end = min(first + params.run, params.count);
    var a = initial();
    for (var r = first + lane; r < end; r += {{width}}u) {
        let b = lift(in_x[base + reduced_offset(r)], r - first);
        a = combine(a, b);
    }
    let total = fold_all(lane, a);
    if (lane == 0u) {
        out[i] = finish(total, first);
    }
}

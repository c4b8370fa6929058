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
    let base = kept_offset(i);
    var a = initial();
    for (var r = lane; r < params.count; r += {{width}}u) {
        let b = lift(in_x[base + reduced_offset(r)], r);
        a = combine(a, b);
    }
    let total = fold_all(lane, a);
    if (lane == 0u) {
        out[i] = finish(total);
    }
}

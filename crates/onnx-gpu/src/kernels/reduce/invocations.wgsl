// One invocation per output element.
{{common}}
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let i = (wid.y * groups.x + wid.x) * 64u + lid;
    if (i >= params.outputs) {
        return;
    }
    let base = kept_offset(i);
    var a = initial();
    for (var r = 0u; r < params.count; r += 1u) {
        let b = lift(in_x[base + reduced_offset(r)], r);
        a = combine(a, b);
    }
    out[i] = finish(a);
}

struct Params {
    len: u32,
    start: u32,
    delta: u32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<{{item}}>;

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
    out[i] = bitcast<{{item}}>(params.start) + {{item}}(i) * bitcast<{{item}}>(params.delta);
}

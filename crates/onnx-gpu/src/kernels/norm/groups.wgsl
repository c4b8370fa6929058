// One workgroup per (image, group): `channels` planes of `spatial` elements each, contiguous.
struct Params {
    act: vec2<f32>,
    groups: u32,
    channels: u32,
    spatial: u32,
    epsilon: f32,
    count: u32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<f32>;
{{bindings}}
{{fold_sum}}{{activation}}
@compute @workgroup_size({{width}})
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let image_group = wid.y * groups.x + wid.x;
    if (image_group >= params.count) {
        return;
    }
    let size = params.channels * params.spatial;
    let start = image_group * size;
    let end = start + size;
    var part = 0.0;
    for (var i = start + lane; i < end; i += {{width}}u) {
        part += in_x[i];
    }
    let mean = fold_sum(lane, part) / f32(size);
    part = 0.0;
    for (var i = start + lane; i < end; i += {{width}}u) {
        let d = in_x[i] - mean;
        part += d * d;
    }
    let scale = 1.0 / sqrt(fold_sum(lane, part) / f32(size) + params.epsilon);
    let group = image_group % params.groups;
    for (var c = 0u; c < params.channels; c += 1u) {
        var gain = scale;
        var shift = -mean * scale;
{{affine}}        let plane = start + c * params.spatial;
        for (var i = lane; i < params.spatial; i += {{stride}}u) {
{{body}}        }
    }
}

// One workgroup or one invocation per row of `cols` elements.
struct Params {
    rows: u32,
    cols: u32,
    epsilon: f32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<f32>;
{{bindings}}
{{fold_sum}}
@compute @workgroup_size({{size}})
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
{{row}}    if (row >= params.rows) {
        return;
    }
    let start = row * params.cols;
    let count = f32(params.cols);
{{mean}}    var part = 0.0;
    for (var i = lane; i < params.cols; i += {{width}}u) {
        let d = in_x[start + i] - mean;
        part += d * d;
    }
    let scale = 1.0 / sqrt(fold_sum(lane, part) / count + params.epsilon);
    for (var i = lane; i < params.cols; i += {{width}}u) {
        var value = (in_x[start + i] - mean) * scale;
{{affine}}        out[start + i] = value;
    }
}

// One workgroup per contiguous row.
struct Params {
    rows: u32,
    axis: u32,
    inner: u32,
    zero_if_empty: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
{{fold_max}}{{fold_sum}}
@compute @workgroup_size({{width}})
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = wid.y * groups.x + wid.x;
    if (row >= params.rows) {
        return;
    }
    let start = row * params.axis;
    let end = start + params.axis;
    var high = -3.4028234e38;
    for (var i = start + lane; i < end; i += {{width}}u) {
        high = max(high, in_x[i]);
    }
    let top = fold_max(lane, high);
    var part = 0.0;
    for (var i = start + lane; i < end; i += {{width}}u) {
        part += exp(in_x[i] - top);
    }
    let sum = fold_sum(lane, part);
    let scale = {{scale}};
    for (var i = start + lane; i < end; i += {{width}}u) {
        let x = in_x[i] - top;
        out[i] = {{result}};
    }
}

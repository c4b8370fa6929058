// One invocation per (outer, inner) pair: neighbours read neighbouring elements.
struct Params {
    rows: u32,
    axis: u32,
    inner: u32,
    zero_if_empty: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let row = (wid.y * groups.x + wid.x) * 64u + lid;
    if (row >= params.rows) {
        return;
    }
    let outer = row / params.inner;
    let start = outer * params.axis * params.inner + row - outer * params.inner;
    let end = start + params.axis * params.inner;
    var top = -3.4028234e38;
    for (var i = start; i < end; i += params.inner) {
        top = max(top, in_x[i]);
    }
    var sum = 0.0;
    for (var i = start; i < end; i += params.inner) {
        sum += exp(in_x[i] - top);
    }
    let scale = {{scale}};
    for (var i = start; i < end; i += params.inner) {
        let x = in_x[i] - top;
        out[i] = {{result}};
    }
}

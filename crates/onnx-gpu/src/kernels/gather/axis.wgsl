struct Params {
    len: u32,
    axis: u32,
    inner: u32,
    indices: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
{{data}}@group(0) @binding(2) var<storage, read> in_indices: array<i32>;
@group(0) @binding(3) var<storage, read_write> out: array<{{item}}>;

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
    let row = i / params.inner;
    let outer = row / params.indices;
    let wanted = in_indices[row - outer * params.indices];
    let size = i32(params.axis);
    let index = select(wanted, wanted + size, wanted < 0);
    let safe = clamp(index, 0, size - 1);
    let value = load_x((outer * params.axis + u32(safe)) * params.inner + i - row * params.inner);
    out[i] = select({{item}}(0x7fc00000u), value, index == safe);
}

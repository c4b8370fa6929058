// Slices of `slice` elements; an index tuple of `depth` entries addresses one slice.
struct Params {
    dims: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 2>,
    len: u32,
    depth: u32,
    slice: u32,
    tuples_per_batch: u32,
    batch_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> {{first}};
@group(0) @binding(2) var<storage, read> {{second}};
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

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
    let tuple = i / params.slice;
    var at = i - tuple * params.slice + tuple / params.tuples_per_batch * params.batch_stride;
    var inside = true;
    for (var d = 0u; d < params.depth; d += 1u) {
        let axis = 8u - params.depth + d;
        let size = i32(params.dims[axis / 4u][axis % 4u]);
        let wanted = in_indices[tuple * params.depth + d];
        let index = select(wanted, wanted + size, wanted < 0);
        inside = inside && index >= 0 && index < size;
        at += u32(clamp(index, 0, size - 1)) * params.strides[axis / 4u][axis % 4u];
    }
    {{move}}
}

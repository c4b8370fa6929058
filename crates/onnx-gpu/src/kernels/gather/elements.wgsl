// Output element i takes its position from i along every axis but `axis`, there from the indices.
struct Params {
    dims: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 2>,
    len: u32,
    rank: u32,
    size: u32,
    stride: u32,
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
    // The stride along `axis` is 0 in the table.
    var rest = i;
    var at = 0u;
    for (var left = params.rank; left > 0u; left -= 1u) {
        let axis = 7u - params.rank + left;
        let dim = params.dims[axis / 4u][axis % 4u];
        let next = rest / dim;
        at += (rest - next * dim) * params.strides[axis / 4u][axis % 4u];
        rest = next;
    }
    let wanted = in_indices[i];
    let size = i32(params.size);
    let index = select(wanted, wanted + size, wanted < 0);
    let inside = index >= 0 && index < size;
    at += u32(clamp(index, 0, size - 1)) * params.stride;
    {{move}}
}

// One invocation per element of a slice, over all tuples: those that name one slice are combined in their order.
struct Params {
    dims: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 2>,
    slice: u32,
    depth: u32,
    tuples: u32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_indices: array<i32>;
@group(0) @binding(2) var<storage, read> in_updates: array<{{item}}>;
@group(0) @binding(3) var<storage, read_write> out: array<{{item}}>;

fn combine(a: {{item}}, b: {{item}}) -> {{item}} {
    return {{combine}};
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let i = (wid.y * groups.x + wid.x) * 64u + lid;
    if (i >= params.slice) {
        return;
    }
    for (var tuple = 0u; tuple < params.tuples; tuple += 1u) {
        var at = i;
        var inside = true;
        for (var d = 0u; d < params.depth; d += 1u) {
            let axis = 8u - params.depth + d;
            let size = i32(params.dims[axis / 4u][axis % 4u]);
            let wanted = in_indices[tuple * params.depth + d];
            let place = select(wanted, wanted + size, wanted < 0);
            inside = inside && place >= 0 && place < size;
            at += u32(clamp(place, 0, size - 1)) * params.strides[axis / 4u][axis % 4u];
        }
        if (inside) {
            out[at] = combine(out[at], in_updates[tuple * params.slice + i]);
        }
    }
}

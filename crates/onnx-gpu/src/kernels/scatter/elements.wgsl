// One invocation per line along the axis: updates of a line may meet in one element, those of two lines cannot.
struct Params {
    dims: array<vec4<u32>, 2>,
    data_strides: array<vec4<u32>, 2>,
    index_strides: array<vec4<u32>, 2>,
    lines: u32,
    rank: u32,
    count: u32,
    size: u32,
    data_step: u32,
    index_step: u32,
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
    let line = (wid.y * groups.x + wid.x) * 64u + lid;
    if (line >= params.lines) {
        return;
    }
    var rest = line;
    var data = 0u;
    var index = 0u;
    for (var left = params.rank; left > 0u; left -= 1u) {
        let axis = 7u - params.rank + left;
        let dim = params.dims[axis / 4u][axis % 4u];
        let next = rest / dim;
        let at = rest - next * dim;
        data += at * params.data_strides[axis / 4u][axis % 4u];
        index += at * params.index_strides[axis / 4u][axis % 4u];
        rest = next;
    }
    let size = i32(params.size);
    for (var j = 0u; j < params.count; j += 1u) {
        let from_at = index + j * params.index_step;
        let wanted = in_indices[from_at];
        let place = select(wanted, wanted + size, wanted < 0);
        if (place >= 0 && place < size) {
            let at = data + u32(place) * params.data_step;
            out[at] = combine(out[at], in_updates[from_at]);
        }
    }
}

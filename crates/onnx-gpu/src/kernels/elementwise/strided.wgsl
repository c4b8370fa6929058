// Four consecutive outputs per invocation, inputs addressed through stride tables.
struct Params {
    dims: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 6>,
    scalar: vec4<u32>,
    op: vec4<u32>,
    len: u32,
    rank: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
{{bindings}}
{{function}}
// Offset of output element `index` in each input.
fn offsets(index: u32) -> vec3<u32> {
    var rest = min(index, params.len - 1u);
    // The first elements of the inputs.
    var sum = params.scalar.xyz;
    for (var axis = 7u; axis > 8u - params.rank; axis -= 1u) {
        let word = axis / 4u;
        let lane = axis % 4u;
        let dim = params.dims[word][lane];
        let next = rest / dim;
        let at = rest - next * dim;
        sum += at * vec3<u32>(params.strides[word][lane], params.strides[2u + word][lane], params.strides[4u + word][lane]);
        rest = next;
    }
    let word = (8u - params.rank) / 4u;
    let lane = (8u - params.rank) % 4u;
    return sum + rest * vec3<u32>(params.strides[word][lane], params.strides[2u + word][lane], params.strides[4u + word][lane]);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let i = (wid.y * groups.x + wid.x) * 64u + lid;
    if (i * 4u >= params.len) {
        return;
    }
{{offsets}}{{loads}}    out[i] = {{call}};
}

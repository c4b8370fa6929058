struct Params {
    dims: array<vec4<u32>, 2>,
    // Of Q, K, V, the mask and the output.
    strides: array<vec4<u32>, 10>,
    // First element, step to the next row, step to the next column.
    place: array<vec4<u32>, 5>,
    m: u32,
    n: u32,
    d: u32,
    e: u32,
    scale: f32,
    rank: u32,
    softcap: f32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_q: array<f32>;
@group(0) @binding(2) var<storage, read> in_k: array<f32>;
@group(0) @binding(3) var<storage, read> in_v: array<f32>;
{{mask}}@group(0) @binding({{out}}) var<storage, read_write> out: array<f32>;

const LOWEST: f32 = -3.4028234e38;

// First elements of the matrices of Q, K, V, the mask and the output that belong to `batch`.
fn starts(batch: u32) -> array<u32, 5> {
    var sum = array<u32, 5>(params.place[0].x, params.place[1].x, params.place[2].x, params.place[3].x, params.place[4].x);
    var rest = batch;
    for (var left = params.rank; left > 0u; left -= 1u) {
        let axis = 7u - params.rank + left;
        let word = axis / 4u;
        let lane = axis % 4u;
        let dim = params.dims[word][lane];
        let next = rest / dim;
        let at = rest - next * dim;
        sum[0] += at * params.strides[word][lane];
        sum[1] += at * params.strides[2u + word][lane];
        sum[2] += at * params.strides[4u + word][lane];
        sum[3] += at * params.strides[6u + word][lane];
        sum[4] += at * params.strides[8u + word][lane];
        rest = next;
    }
    return sum;
}

// Offsets of the matrices of A and B that output matrix `batch` is made of.
fn batch_offsets(batch: u32) -> vec2<u32> {
    var rest = batch;
    var sum = vec2<u32>(params.a_start, params.b_start);
    for (var left = params.rank; left > 0u; left -= 1u) {
        let axis = 7u - params.rank + left;
        let dim = params.dims[axis / 4u][axis % 4u];
        let next = rest / dim;
        sum += (rest - next * dim) * vec2<u32>(params.a_strides[axis / 4u][axis % 4u], params.b_strides[axis / 4u][axis % 4u]);
        rest = next;
    }
    return sum;
}

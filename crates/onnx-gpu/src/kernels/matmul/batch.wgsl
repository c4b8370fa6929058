{{steps}}
// Offsets of the matrices of A and B that output matrix `batch` is made of.
fn batch_offsets(batch: u32) -> vec2<u32> {
    return vec2<u32>(params.a_start, params.b_start) + steps(batch);
}

{{wrapped}}
// Where the slice begins that an index tuple names, and whether it is there.
struct Slice {
    at: u32,
    inside: bool,
}

fn slice_of(tuple: u32) -> Slice {
    var slice = Slice(0u, true);
    for (var d = 0u; d < params.depth; d += 1u) {
        let axis = 8u - params.depth + d;
        let size = params.dims[axis / 4u][axis % 4u];
        let index = wrapped(in_indices[tuple * params.depth + d], size);
        slice.inside = slice.inside && index >= 0 && index < i32(size);
        slice.at += nearest(index, size) * params.strides[axis / 4u][axis % 4u];
    }
    return slice;
}

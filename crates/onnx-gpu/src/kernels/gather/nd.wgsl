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

{{tuple}}
{{each}}    if (i >= params.len) {
        return;
    }
    let tuple = i / params.slice;
    let slice = slice_of(tuple);
    let inside = slice.inside;
    let at = slice.at + i - tuple * params.slice + tuple / params.tuples_per_batch * params.batch_stride;
    {{move}}
}

struct Params {
    len: u32,
    axis: u32,
    inner: u32,
    indices: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
{{data}}@group(0) @binding(2) var<storage, read> in_indices: array<i32>;
@group(0) @binding(3) var<storage, read_write> out: array<{{item}}>;

{{wrapped}}
{{each}}    if (i >= params.len) {
        return;
    }
    let row = i / params.inner;
    let outer = row / params.indices;
    let index = wrapped(in_indices[row - outer * params.indices], params.axis);
    let safe = nearest(index, params.axis);
    let value = load_x((outer * params.axis + safe) * params.inner + i - row * params.inner);
    out[i] = select({{item}}(0x7fc00000u), value, index == i32(safe));
}

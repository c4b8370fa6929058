struct Params {
    len: u32,
    axis: u32,
    inner: u32,
    indices: u32,
    q_axis: u32,
    q_inner: u32,
    block: u32,
    blocks: u32,
    scale_row: u32,
    zero_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_q: array<u32>;
@group(0) @binding(2) var<storage, read> in_indices: array<i32>;
{{beside}}@group(0) @binding({{out}}) var<storage, read_write> out: array<u32>;

{{wrapped}}
{{each}}    if (i >= params.len) {
        return;
    }
    let row = i / params.inner;
    let outer = row / params.indices;
    let index = wrapped(in_indices[row - outer * params.indices], params.axis);
    let safe = nearest(index, params.axis);
    let at = (outer * params.axis + safe) * params.inner + i - row * params.inner;
    let line = at / params.q_inner;
    let place = line % params.q_axis;
    let block = (line / params.q_axis * params.blocks + place / params.block) * params.q_inner + at % params.q_inner;
    let zero_at = block / params.scale_row * params.zero_row + block % params.scale_row;
    let value = (f32({{element}}) - {{zero}}) * {{scale}};
    out[i] = select(0x7fc00000u, bitcast<u32>(value), index == i32(safe));
}

// Every invocation turns one pair.
struct Params {
    len: u32,
    half: u32,
    heads: u32,
    length: u32,
    batch_step: u32,
    row_step: u32,
    head_step: u32,
    step: u32,
    apart: u32,
    lead: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<f32>;
@group(0) @binding(2) var<storage, read> in_cos: array<f32>;
@group(0) @binding(3) var<storage, read> in_sin: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

{{each}}    if (i >= params.len) {
        return;
    }
    let pair = i % params.half;
    let heads = i / params.half;
    let head = heads % params.heads;
    let rows = heads / params.heads;
    let row = rows % params.length;
    let batch = rows / params.length;
    let at = batch * params.batch_step + row * params.row_step + head * params.head_step + pair * params.step;
    let angle = batch * params.lead + row * params.half + pair;
    let x = in_x[at];
    let y = in_x[at + params.apart];
    let c = in_cos[angle];
    let s = in_sin[angle];
    out[at] = x * c - y * s;
    out[at + params.apart] = x * s + y * c;
}

// Every invocation writes two elements.
struct Params {
    len: u32,
    words: u32,
    axis: u32,
    inner: u32,
    block: u32,
    blocks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_q: array<u32>;
@group(0) @binding(2) var<storage, read> in_scale: array<f32>;
{{zero_binding}}@group(0) @binding({{out}}) var<storage, read_write> out: array<u32>;

fn element(at: u32) -> f32 {
    return f32({{element}});
}

fn zero_point(at: u32) -> f32 {
    return {{zero}};
}

fn value(i: u32) -> f32 {
    if (i >= params.len) {
        return 0.0;
    }
    let rest = i / params.inner;
    let outer = rest / params.axis;
    var at = rest - outer * params.axis;
    if (params.block > 0u) {
        at = (outer * params.blocks + at / params.block) * params.inner + i - rest * params.inner;
    }
    return (element(i) - zero_point(at)) * in_scale[at];
}

{{each}}    if (i >= params.words) {
        return;
    }
    out[i] = pack2x16float(vec2<f32>(value(2u * i), value(2u * i + 1u)));
}

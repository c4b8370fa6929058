// One invocation per (outer, inner) pair: neighbours read neighbouring elements.
struct Params {
    rows: u32,
    axis: u32,
    inner: u32,
    zero_if_empty: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

{{each}}    if (i >= params.rows) {
        return;
    }
    let outer = i / params.inner;
    let start = outer * params.axis * params.inner + i - outer * params.inner;
    let end = start + params.axis * params.inner;
    var top = -3.4028234e38;
    for (var at = start; at < end; at += params.inner) {
        top = max(top, in_x[at]);
    }
    var sum = 0.0;
    for (var at = start; at < end; at += params.inner) {
        sum += exp(in_x[at] - top);
    }
    let scale = {{scale}};
    for (var at = start; at < end; at += params.inner) {
        let x = in_x[at] - top;
        out[at] = {{result}};
    }
}

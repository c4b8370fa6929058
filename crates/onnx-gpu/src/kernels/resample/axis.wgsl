struct Params {
    len: u32,
    input: u32,
    output: u32,
    inner: u32,
    taps: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<f32>;
@group(0) @binding(2) var<storage, read> in_weights: array<f32>;
@group(0) @binding(3) var<storage, read> in_indices: array<i32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

{{line}}
{{each}}    if (i >= params.len) {
        return;
    }
    let own = spot(i, params.output, params.inner);
    var sum = 0.0;
    for (var t = 0u; t < params.taps; t += 1u) {
        let weight = in_weights[own.place * params.taps + t];
        let index = in_indices[own.place * params.taps + t];
        if (index < 0) {
            sum += weight;
        } else if (weight != 0.0) {
            sum += weight * in_x[(own.outer * params.input + u32(index)) * params.inner + own.lane];
        }
    }
    out[i] = sum;
}

struct Params {
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    pad_top: i32,
    pad_left: i32,
    // Input size plus the padding after it.
    end_h: i32,
    end_w: i32,
    len: u32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

{{line}}
{{each}}    if (i >= params.len) {
        return;
    }
    let pixel = spot(i, params.out_h, params.out_w);
    let x0 = i32(pixel.lane * params.stride_w) - params.pad_left;
    let y0 = i32(pixel.place * params.stride_h) - params.pad_top;
    let base = pixel.outer * params.in_h * params.in_w;
    var acc = {{init}};
    var count = 0.0;
    for (var ky = 0u; ky < params.kernel_h; ky += 1u) {
        let y = y0 + i32(ky * params.dilation_h);
        for (var kx = 0u; kx < params.kernel_w; kx += 1u) {
            let x = x0 + i32(kx * params.dilation_w);
            let inside = y >= 0 && x >= 0 && u32(y) < params.in_h && u32(x) < params.in_w;
            let at = select(0u, u32(y * i32(params.in_w) + x), inside);
            let value = in_x[base + at];
            acc = select(acc, {{step}}, inside);
            count += select(0.0, 1.0, {{counts}});
        }
    }
    out[i] = {{finish}};
}

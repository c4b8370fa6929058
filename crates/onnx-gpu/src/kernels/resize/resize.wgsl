struct Params {
    scale: vec2<f32>,
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    len: u32,
    coordinates: u32,
    nearest: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

// Input coordinate of an output coordinate.
// coordinates: 0 half_pixel, 1 half_pixel_symmetric, 2 pytorch_half_pixel, 3 align_corners, 4 asymmetric.
fn source(at: u32, scale: f32, in_size: u32, out_size: u32) -> f32 {
    let x = f32(at);
    let half = (x + 0.5) / scale - 0.5;
    if (params.coordinates == 1u) {
        let adjustment = f32(out_size) / (scale * f32(in_size));
        let center = f32(in_size) * 0.5;
        return center * (1.0 - adjustment) + half;
    }
    if (params.coordinates == 2u) {
        return select(0.0, half, out_size > 1u);
    }
    if (params.coordinates == 3u) {
        return select(0.0, x * f32(in_size - 1u) / f32(max(out_size, 2u) - 1u), out_size > 1u);
    }
    if (params.coordinates == 4u) {
        return x / scale;
    }
    return half;
}

// nearest: 0 round_prefer_floor, 1 round_prefer_ceil, 2 floor, 3 ceil.
fn pick(x: f32, size: u32) -> u32 {
    var r = x;
    if (params.nearest == 0u) {
        r = ceil(x - 0.5);
    } else if (params.nearest == 1u) {
        r = floor(x + 0.5);
    } else if (params.nearest == 2u) {
        r = floor(x);
    } else {
        r = ceil(x);
    }
    return u32(clamp(i32(r), 0, i32(size) - 1));
}

{{line}}
{{each}}    if (i >= params.len) {
        return;
    }
    let pixel = spot(i, params.out_h, params.out_w);
    let plane = pixel.outer;
    let y = source(pixel.place, params.scale.x, params.in_h, params.out_h);
    let x = source(pixel.lane, params.scale.y, params.in_w, params.out_w);
    let base = plane * params.in_h * params.in_w;
{{sample}}}

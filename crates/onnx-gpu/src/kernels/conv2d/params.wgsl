struct Params {
    act: vec2<f32>,
    // Channels per group.
    in_channels: u32,
    out_channels: u32,
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
    groups: u32,
    // 1 where x is stored at half the height and width.
    halvings: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<f32>;
{{weights}}{{bindings}}
{{activation}}
// Stores four pixels of output channel `channel` of group-batch `image`.
fn store(image: u32, channel: u32, pixels: vec4<u32>, sum: vec4<f32>) {
    if (channel >= params.out_channels) {
        return;
    }
    var value = sum;
    let size = params.out_h * params.out_w;
    let base = (image * params.out_channels + channel) * size;
{{epilogue}}    value = activate(value, params.act);
    if (pixels.x < size) { out[base + pixels.x] = value.x; }
    if (pixels.y < size) { out[base + pixels.y] = value.y; }
    if (pixels.z < size) { out[base + pixels.z] = value.z; }
    if (pixels.w < size) { out[base + pixels.w] = value.w; }
}

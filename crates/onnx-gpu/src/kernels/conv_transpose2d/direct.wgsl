// Barrier-free: 16 invocations side by side, each {{channel_count}} output channels by 4 pixels that lie 16 apart. Every
// output pixel gathers the input pixels whose window covers it.
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
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<f32>;
@group(0) @binding(2) var<storage, read> in_w: array<f32>;
{{bindings}}
{{activation}}
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

@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let image = wid.z;
    let channel0 = wid.y * {{channel_count}}u;
    let pixels = vec4<u32>(0u, 16u, 32u, 48u) + wid.x * 64u + lane;
    let out_y = pixels / params.out_w;
    let out_x = pixels - out_y * params.out_w;
    let y0 = vec4<i32>(out_y) + params.pad_top;
    let x0 = vec4<i32>(out_x) + params.pad_left;
    let taps = params.kernel_h * params.kernel_w;
    let last = params.out_channels - 1u;
    let first_channel = (image % params.groups) * params.in_channels;
    let plane = params.in_h * params.in_w;
    let stride_y = vec4<i32>(i32(params.stride_h));
    let stride_x = vec4<i32>(i32(params.stride_w));
{{declare}}    for (var ky = 0u; ky < params.kernel_h; ky += 1u) {
        let y = y0 - i32(ky * params.dilation_h);
        let in_y = y / stride_y;
        let row_inside = (y >= vec4<i32>(0)) & (in_y * stride_y == y) & (in_y < vec4<i32>(i32(params.in_h)));
        for (var kx = 0u; kx < params.kernel_w; kx += 1u) {
            let x = x0 - i32(kx * params.dilation_w);
            let in_x0 = x / stride_x;
            let inside = row_inside & (x >= vec4<i32>(0)) & (in_x0 * stride_x == x) & (in_x0 < vec4<i32>(i32(params.in_w)));
            var at = select(vec4<u32>(0u), vec4<u32>(in_y * i32(params.in_w) + in_x0), inside);
            at += image * params.in_channels * plane;
            var tap = first_channel * params.out_channels * taps + ky * params.kernel_w + kx;
            for (var c = 0u; c < params.in_channels; c += 1u) {
                let loaded = vec4<f32>(in_x[at.x], in_x[at.y], in_x[at.z], in_x[at.w]);
                let v = select(vec4<f32>(0.0), loaded, inside);
                at += plane;
{{multiply}}                tap += params.out_channels * taps;
            }
        }
    }
{{store}}}

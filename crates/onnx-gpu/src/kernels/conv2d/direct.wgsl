// Barrier-free: 16 invocations side by side, each {{channel_count}} output channels by 4 pixels that lie 16 apart, so
// that neighbours read neighbouring pixels and all read the same weight.
{{params}}
@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let image = wid.z;
    let channel0 = wid.y * {{channel_count}}u;
    let pixels = vec4<u32>(0u, 16u, 32u, 48u) + wid.x * 64u + lane;
    let out_y = pixels / params.out_w;
    let out_x = pixels - out_y * params.out_w;
    let y0 = vec4<i32>(out_y * params.stride_h) - params.pad_top;
    let x0 = vec4<i32>(out_x * params.stride_w) - params.pad_left;
    let taps = params.kernel_h * params.kernel_w;
    let weights = params.in_channels * taps;
    let last = params.out_channels - 1u;
    let first_weight = (image % params.groups) * params.out_channels;
    let halvings = vec4<u32>(params.halvings);
    let stored_w = params.in_w >> params.halvings;
    let plane = (params.in_h >> params.halvings) * stored_w;
    let size = vec4<u32>(params.in_w);
{{declare}}    for (var ky = 0u; ky < params.kernel_h; ky += 1u) {
        let y = y0 + i32(ky * params.dilation_h);
        let row_inside = vec4<u32>(y) < vec4<u32>(params.in_h);
        for (var kx = 0u; kx < params.kernel_w; kx += 1u) {
            let x = x0 + i32(kx * params.dilation_w);
            let inside = row_inside & (vec4<u32>(x) < size);
            // Padding reads any valid element and is masked.
            var at = select(vec4<u32>(0u), vec4<u32>((y >> halvings) * i32(stored_w) + (x >> halvings)), inside);
            at += image * params.in_channels * plane;
            var tap = ky * params.kernel_w + kx;
            for (var c = 0u; c < params.in_channels; c += 1u) {
                let loaded = vec4<f32>(in_x[at.x], in_x[at.y], in_x[at.z], in_x[at.w]);
                let v = select(vec4<f32>(0.0), loaded, inside);
                at += plane;
{{multiply}}                tap += taps;
            }
        }
    }
{{store}}}

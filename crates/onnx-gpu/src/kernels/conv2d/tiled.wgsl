// Implicit matrix product in workgroup tiles: {{side}} output channels by {{side}} pixels by 16 (input channel, tap) pairs.
{{params}}
// Row k of a tile holds {{lanes}} vec4s of output channels or of pixels.
var<workgroup> tile_w: array<vec4<f32>, {{vectors}}>;
var<workgroup> tile_x: array<vec4<f32>, {{vectors}}>;

fn tile_w_at(base: u32, channel: u32, k: u32, depth: u32) -> f32 {
    if (channel >= params.out_channels || k >= depth) {
        return 0.0;
    }
    return load_w((base + channel) * depth + k);
}

@compute @workgroup_size({{lanes}}, {{lanes}})
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(local_invocation_id) lid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let image = wid.z;
    let tile_channel = wid.y * {{side}}u;
    let tile_pixel = wid.x * {{side}}u;
    let taps = params.kernel_h * params.kernel_w;
    let depth = params.in_channels * taps;
    let first_weight = (image % params.groups) * params.out_channels;
    let halvings = vec4<u32>(params.halvings);
    let stored_w = params.in_w >> params.halvings;
    let plane = (params.in_h >> params.halvings) * stored_w;
    // Neighbouring invocations load neighbouring pixels.
    let pixels = vec4<u32>(0u, 1u, 2u, 3u) + tile_pixel + (lane % {{lanes}}u) * 4u;
    let out_y = pixels / params.out_w;
    let out_x = pixels - out_y * params.out_w;
    let y0 = vec4<i32>(out_y * params.stride_h) - params.pad_top;
    let x0 = vec4<i32>(out_x * params.stride_w) - params.pad_left;
    let valid = pixels < vec4<u32>(params.out_h * params.out_w);
    var acc0 = vec4<f32>(0.0);
    var acc1 = vec4<f32>(0.0);
    var acc2 = vec4<f32>(0.0);
    var acc3 = vec4<f32>(0.0);
    for (var k0 = 0u; k0 < depth; k0 += 16u) {
        workgroupBarrier();
        for (var i = 0u; i < {{loads}}u; i += 1u) {
            // Weights are contiguous along k.
            let t = lane + i * {{lanes}}u * {{lanes}}u;
            let weight_k = t % 16u;
            let weight_vec = t / 16u;
            let weight_channel = tile_channel + weight_vec * 4u;
            let load_k = t / {{lanes}}u;
            let kw = k0 + weight_k;
            tile_w[weight_k * {{lanes}}u + weight_vec] = vec4<f32>(
                tile_w_at(first_weight, weight_channel, kw, depth),
                tile_w_at(first_weight, weight_channel + 1u, kw, depth),
                tile_w_at(first_weight, weight_channel + 2u, kw, depth),
                tile_w_at(first_weight, weight_channel + 3u, kw, depth));
            let k = k0 + load_k;
            let channel = k / taps;
            let tap = k - channel * taps;
            let ky = tap / params.kernel_w;
            let kx = tap - ky * params.kernel_w;
            let y = y0 + i32(ky * params.dilation_h);
            let x = x0 + i32(kx * params.dilation_w);
            let inside = valid & (vec4<u32>(y) < vec4<u32>(params.in_h))
                & (vec4<u32>(x) < vec4<u32>(params.in_w)) & vec4<bool>(k < depth);
            let at = select(vec4<u32>(0u),
                vec4<u32>((y >> halvings) * i32(stored_w) + (x >> halvings)) + (image * params.in_channels + channel) * plane, inside);
            let loaded = vec4<f32>(in_x[at.x], in_x[at.y], in_x[at.z], in_x[at.w]);
            tile_x[load_k * {{lanes}}u + lane % {{lanes}}u] = select(vec4<f32>(0.0), loaded, inside);
        }
        workgroupBarrier();
        for (var i = 0u; i < 16u; i += 1u) {
            let w = tile_w[i * {{lanes}}u + lid.y];
            let v = tile_x[i * {{lanes}}u + lid.x];
            acc0 += w.x * v;
            acc1 += w.y * v;
            acc2 += w.z * v;
            acc3 += w.w * v;
        }
    }
    let channel = tile_channel + lid.y * 4u;
    let targets = vec4<u32>(0u, 1u, 2u, 3u) + tile_pixel + lid.x * 4u;
    store(image, channel, targets, acc0);
    store(image, channel + 1u, targets, acc1);
    store(image, channel + 2u, targets, acc2);
    store(image, channel + 3u, targets, acc3);
}

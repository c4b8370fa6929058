// Philox4x32-10 of consecutive counters (Salmon et al., SC 2011): the words of `noise::philox4x32_10`, bit for bit.
struct Params {
    key: vec2<u32>,
    // The low half of the counter, then the high half of the first one.
    low: vec2<u32>,
    high: vec2<u32>,
    count: u32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> words: array<u32>;

// (high, low) of a 32-bit product: WGSL has no 64-bit integers.
fn wide_product(a: u32, b: u32) -> vec2<u32> {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let p00 = a0 * b0;
    let p01 = a0 * b1;
    let p10 = a1 * b0;
    let middle = (p00 >> 16u) + (p01 & 0xffffu) + (p10 & 0xffffu);
    let high = a1 * b1 + (p01 >> 16u) + (p10 >> 16u) + (middle >> 16u);
    return vec2<u32>(high, (middle << 16u) | (p00 & 0xffffu));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let i = (wid.y * groups.x + wid.x) * 64u + lid;
    if (i >= params.count) {
        return;
    }
    let low = params.high.x + i;
    let carry = select(0u, 1u, low < i);
    var c = vec4<u32>(params.low, low, params.high.y + carry);
    var k = params.key;
    for (var round = 0u; round < 10u; round++) {
        let p0 = wide_product(0xD2511F53u, c.x);
        let p1 = wide_product(0xCD9E8D57u, c.z);
        c = vec4<u32>(p1.x ^ c.y ^ k.x, p1.y, p0.x ^ c.w ^ k.y, p0.y);
        k += vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
    }
    words[4u * i] = c.x;
    words[4u * i + 1u] = c.y;
    words[4u * i + 2u] = c.z;
    words[4u * i + 3u] = c.w;
}

// A sum of up to seven values, each with its share, written several times in a row. One term may be the guided answer: value
// `guided` is the answer to the prompt then, and the value after the last term the one to the negative prompt.
struct Params {
    count: u32,
    copies: u32,
    terms: u32,
    // Beyond the terms: none.
    guided: u32,
    guidance_scale: f32,
    // Where the answer to the negative prompt begins in its buffer.
    negative_offset: u32,
    // Where the sum is cut off, on both sides of 0; 0: nowhere.
    limit: f32,
    unused: u32,
    shares: array<vec4<f32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> value_0: array<f32>;
@group(0) @binding(2) var<storage, read> value_1: array<f32>;
@group(0) @binding(3) var<storage, read> value_2: array<f32>;
@group(0) @binding(4) var<storage, read> value_3: array<f32>;
@group(0) @binding(5) var<storage, read> value_4: array<f32>;
@group(0) @binding(6) var<storage, read> value_5: array<f32>;
@group(0) @binding(7) var<storage, read> value_6: array<f32>;
@group(0) @binding(8) var<storage, read_write> out: array<f32>;

fn value(index: u32, i: u32) -> f32 {
    switch index {
        case 0u: { return value_0[i]; }
        case 1u: { return value_1[i]; }
        case 2u: { return value_2[i]; }
        case 3u: { return value_3[i]; }
        case 4u: { return value_4[i]; }
        case 5u: { return value_5[i]; }
        default: { return value_6[i]; }
    }
}

fn term(index: u32, i: u32) -> f32 {
    let plain = value(index, i);
    if (index != params.guided) {
        return plain;
    }
    let unguided = value(params.terms, params.negative_offset + i);
    return unguided + params.guidance_scale * (plain - unguided);
}

fn share(index: u32) -> f32 {
    return params.shares[index / 4u][index % 4u];
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
    var sum = share(0u) * term(0u, i);
    for (var k = 1u; k < params.terms; k++) {
        sum += share(k) * term(k, i);
    }
    if (params.limit > 0.0) {
        sum = clamp(sum, -params.limit, params.limit);
    }
    for (var copy = 0u; copy < params.copies; copy++) {
        out[copy * params.count + i] = sum;
    }
}

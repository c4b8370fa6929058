struct Params {
    len: u32,
    bits: u32,
    unused_0: u32,
    unused_1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<u32>>;

{{each}}    if (i * 4u < params.len) {
        out[i] = vec4<u32>(params.bits);
    }
}

struct Params {
    len: u32,
    start: u32,
    delta: u32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<{{item}}>;

{{each}}    if (i >= params.len) {
        return;
    }
    out[i] = bitcast<{{item}}>(params.start) + {{item}}(i) * bitcast<{{item}}>(params.delta);
}

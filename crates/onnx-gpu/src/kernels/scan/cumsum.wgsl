// One invocation per line.
struct Params {
    len: u32,
    axis: u32,
    inner: u32,
    exclusive: u32,
    reverse: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<{{item}}>;
@group(0) @binding(2) var<storage, read_write> out: array<{{item}}>;

{{each}}    if (i >= params.len) {
        return;
    }
    let outer = i / params.inner;
    let start = outer * params.axis * params.inner + i - outer * params.inner;
    var sum = {{item}}(0);
    for (var step = 0u; step < params.axis; step += 1u) {
        let place = select(step, params.axis - 1u - step, params.reverse != 0u);
        let at = start + place * params.inner;
        let before = sum;
        sum += in_x[at];
        out[at] = select(sum, before, params.exclusive != 0u);
    }
}

// mode: 0 constant, 1 reflect, 2 edge, 3 wrap.
struct Params {
    out_dims: array<vec4<u32>, 2>,
    in_dims: array<vec4<i32>, 2>,
    begin: array<vec4<i32>, 2>,
    len: u32,
    rank: u32,
    mode: u32,
    bits: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

fn modulo(a: i32, b: i32) -> i32 {
    return ((a % b) + b) % b;
}

{{each}}    if (i >= params.len) {
        return;
    }
    var rest = i;
    var index = 0;
    var stride = 1;
    var inside = true;
    for (var left = params.rank; left > 0u; left -= 1u) {
        let axis = 7u - params.rank + left;
        let dim = params.out_dims[axis / 4u][axis % 4u];
        let size = params.in_dims[axis / 4u][axis % 4u];
        let next = rest / dim;
        var at = i32(rest - next * dim) - params.begin[axis / 4u][axis % 4u];
        rest = next;
        inside = inside && at >= 0 && at < size;
        if (params.mode == 1u) {
            let period = max(2 * (size - 1), 1);
            at = modulo(at, period);
            at = select(at, period - at, at >= size);
        } else if (params.mode == 3u) {
            at = modulo(at, size);
        }
        at = clamp(at, 0, size - 1);
        index += at * stride;
        stride *= size;
    }
    let value = in_x[u32(index)];
    out[i] = select(params.bits, value, inside || params.mode != 0u);
}

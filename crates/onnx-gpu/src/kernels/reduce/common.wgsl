struct Params {
    kept_dims: array<vec4<u32>, 2>,
    kept_strides: array<vec4<u32>, 2>,
    reduced_dims: array<vec4<u32>, 2>,
    reduced_strides: array<vec4<u32>, 2>,
    outputs: u32,
    count: u32,
    kept_rank: u32,
    reduced_rank: u32,
}

alias T = {{item}};
alias Acc = vec2<{{item}}>;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<T>;
@group(0) @binding(2) var<storage, read_write> out: array<{{out}}>;

fn infinity() -> f32 {
    // A constant expression may not be infinite; this one is not constant.
    return bitcast<f32>((params.count & 0u) | 0x7f800000u);
}

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn initial() -> Acc {
    return Acc({{init}});
}

fn lift(x: T, index: u32) -> Acc {
    return {{lift}};
}

fn combine(a: Acc, b: Acc) -> Acc {
    {{combine}}
}

fn finish(a: Acc) -> {{out}} {
    let n = T(params.count);
    return {{finish}};
}

fn kept_offset(index: u32) -> u32 {
    var rest = index;
    var sum = 0u;
    let first = 8u - params.kept_rank;
    for (var axis = 7u; axis > first; axis -= 1u) {
        let dim = params.kept_dims[axis / 4u][axis % 4u];
        let next = rest / dim;
        sum += (rest - next * dim) * params.kept_strides[axis / 4u][axis % 4u];
        rest = next;
    }
    return sum + rest * params.kept_strides[first / 4u][first % 4u];
}

fn reduced_offset(index: u32) -> u32 {
    var rest = index;
    var sum = 0u;
    let first = 8u - params.reduced_rank;
    for (var axis = 7u; axis > first; axis -= 1u) {
        let dim = params.reduced_dims[axis / 4u][axis % 4u];
        let next = rest / dim;
        sum += (rest - next * dim) * params.reduced_strides[axis / 4u][axis % 4u];
        rest = next;
    }
    return sum + rest * params.reduced_strides[first / 4u][first % 4u];
}

struct Params {
    kept_dims: array<vec4<u32>, 2>,
    kept_strides: array<vec4<u32>, 2>,
    reduced_dims: array<vec4<u32>, 2>,
    reduced_strides: array<vec4<u32>, 2>,
    outputs: u32,
    count: u32,
    kept_rank: u32,
    reduced_rank: u32,
    // Per output, and elements of each but the last.
    runs: u32,
    run: u32,
    unused0: u32,
    unused1: u32,
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

{{order}}
fn initial() -> Acc {
    return Acc({{init}});
}

fn lift(x: T, index: u32) -> Acc {
    return {{lift}};
}

fn combine(a: Acc, b: Acc) -> Acc {
    {{combine}}
}

// Places count from the first element of the run, so that a float holds them.
fn finish(a: Acc, first: u32) -> {{out}} {
    let n = T(params.count);
    return {{finish}};
}

{{offsets}}
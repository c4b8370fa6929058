// Every invocation unpacks one word.
struct Params {
    len: u32,
    words: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<{{output}}>;

{{each}}    if (i >= params.words) {
        return;
    }
    let word = in_x[i];
    let first = i * {{per_word}}u;
    for (var part = 0u; part < {{per_word}}u; part += 1u) {
        if (first + part < params.len) {
            out[first + part] = {{value}};
        }
    }
}

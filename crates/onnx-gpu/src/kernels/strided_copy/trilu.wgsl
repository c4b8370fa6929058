struct Params {
    len: u32,
    rows: u32,
    cols: u32,
    k: i32,
    upper: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in_x: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

{{each}}    if (i >= params.len) {
        return;
    }
    let row = i / params.cols;
    let ahead = i32(i - row * params.cols) - i32(row % params.rows) - params.k;
    let keep = select(ahead <= 0, ahead >= 0, params.upper != 0u);
    out[i] = select(0u, in_x[i], keep);
}

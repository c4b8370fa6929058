// Workgroup tiles of {{width}} by {{width}} by 16; {{lanes}} by {{lanes}} invocations with 4 by 4 sums each.
struct Params {
    dims: array<vec4<u32>, 2>,
    a_strides: array<vec4<u32>, 2>,
    b_strides: array<vec4<u32>, 2>,
    bias: vec4<u32>,
    act: vec2<f32>,
    alpha: f32,
    beta: f32,
    m: u32,
    n: u32,
    k: u32,
    rank: u32,
    a_row: u32,
    a_k: u32,
    b_k: u32,
    b_col: u32,
    a_start: u32,
    b_start: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
{{a}}{{b}}{{bias_binding}}@group(0) @binding({{out}}) var<storage, read_write> out: array<f32>;
{{activation}}
{{batch}}
// Row k of a tile holds {{lanes}} vec4s of A's rows or B's columns.
var<workgroup> tile_a: array<vec4<f32>, {{vectors}}>;
var<workgroup> tile_b: array<vec4<f32>, {{vectors}}>;

fn tile_a_at(base: u32, row: u32, k: u32) -> f32 {
    if (row >= params.m || k >= params.k) {
        return 0.0;
    }
    return load_a(base + row * params.a_row + k * params.a_k);
}

fn tile_b_at(base: u32, k: u32, col: u32) -> f32 {
    if (col >= params.n || k >= params.k) {
        return 0.0;
    }
    return load_b(base + k * params.b_k + col * params.b_col);
}

fn store(batch: u32, row: u32, cols: vec4<u32>, sum: vec4<f32>) {
    if (row >= params.m) {
        return;
    }
    var value = params.alpha * sum;
{{bias}}    value = activate(value, params.act);
    let base = (batch * params.m + row) * params.n;
    if (cols.x < params.n) { out[base + cols.x] = value.x; }
    if (cols.y < params.n) { out[base + cols.y] = value.y; }
    if (cols.z < params.n) { out[base + cols.z] = value.z; }
    if (cols.w < params.n) { out[base + cols.w] = value.w; }
}

@compute @workgroup_size({{lanes}}, {{lanes}})
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(local_invocation_id) lid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile_row = wid.y * {{width}}u;
    let tile_col = wid.x * {{width}}u;
    let start = batch_offsets(wid.z);
    // Loads run along the axis that is contiguous in memory.
    let a_along_k = params.a_k == 1u;
    let b_along_k = params.b_k == 1u;
    var acc0 = vec4<f32>(0.0);
    var acc1 = vec4<f32>(0.0);
    var acc2 = vec4<f32>(0.0);
    var acc3 = vec4<f32>(0.0);
    for (var k0 = 0u; k0 < params.k; k0 += 16u) {
        workgroupBarrier();
        for (var i = 0u; i < {{loads}}u; i += 1u) {
            let t = lane + i * {{lanes}}u * {{lanes}}u;
            let a_k = select(t / {{lanes}}u, t % 16u, a_along_k);
            let a_vec = select(t % {{lanes}}u, t / 16u, a_along_k);
            let b_k = select(t / {{lanes}}u, t % 16u, b_along_k);
            let b_vec = select(t % {{lanes}}u, t / 16u, b_along_k);
            let a_row = tile_row + a_vec * 4u;
            let b_col = tile_col + b_vec * 4u;
            let ka = k0 + a_k;
            tile_a[a_k * {{lanes}}u + a_vec] = vec4<f32>(
                tile_a_at(start.x, a_row, ka), tile_a_at(start.x, a_row + 1u, ka),
                tile_a_at(start.x, a_row + 2u, ka), tile_a_at(start.x, a_row + 3u, ka));
            let kb = k0 + b_k;
            tile_b[b_k * {{lanes}}u + b_vec] = vec4<f32>(
                tile_b_at(start.y, kb, b_col), tile_b_at(start.y, kb, b_col + 1u),
                tile_b_at(start.y, kb, b_col + 2u), tile_b_at(start.y, kb, b_col + 3u));
        }
        workgroupBarrier();
        for (var k = 0u; k < 16u; k += 1u) {
            let a = tile_a[k * {{lanes}}u + lid.y];
            let b = tile_b[k * {{lanes}}u + lid.x];
            acc0 += a.x * b;
            acc1 += a.y * b;
            acc2 += a.z * b;
            acc3 += a.w * b;
        }
    }
    let row = tile_row + lid.y * 4u;
    let cols = vec4<u32>(0u, 1u, 2u, 3u) + tile_col + lid.x * 4u;
    store(wid.z, row, cols, acc0);
    store(wid.z, row + 1u, cols, acc1);
    store(wid.z, row + 2u, cols, acc2);
    store(wid.z, row + 3u, cols, acc3);
}

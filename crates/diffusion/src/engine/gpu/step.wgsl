// Classifier-free guidance and a linear step; both copies of the latents get the same values.
struct Params {
    half: u32,
    negative_offset: u32,
    guidance_scale: f32,
    keep: f32,
    gain: f32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> latents: array<f32>;
@group(0) @binding(2) var<storage, read> prompt: array<f32>;
@group(0) @binding(3) var<storage, read> negative: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let i = (wid.y * groups.x + wid.x) * 64u + lid;
    if (i >= params.half) {
        return;
    }
    let unguided = negative[params.negative_offset + i];
    let guided = unguided + params.guidance_scale * (prompt[i] - unguided);
    let next = params.keep * latents[i] + params.gain * guided;
    out[i] = next;
    out[params.half + i] = next;
}

// Classifier-free guidance and an Euler step; both copies of the latents get the same values.
struct Params {
    half: u32,
    guidance_scale: f32,
    dt: f32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> latents: array<f32>;
@group(0) @binding(2) var<storage, read> velocity: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

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
    let negative = velocity[params.half + i];
    let guided = negative + params.guidance_scale * (velocity[i] - negative);
    let next = latents[i] + params.dt * guided;
    out[i] = next;
    out[params.half + i] = next;
}

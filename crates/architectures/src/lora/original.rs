//! Modules by the names that original checkpoints have, with `_` for dots: what they are called in diffusers.
//!
//! A module that diffusers has in parts, queries, keys and values, is the list of these. Modules whose halves diffusers swaps are not
//! here.

use crate::original::Names;

/// The lists of modules that one may be; `names` are those of the UNet, if it is one.
pub(super) fn modules(name: &str, names: Option<&Names>) -> Vec<Vec<String>> {
    let of_unet = names
        .and_then(|names| unet(name, names))
        .map(|name| vec![name]);
    let transformers = [flux, flux2, sd3, z_image, lumina2];
    let of_others = transformers.into_iter().filter_map(|names| names(name));
    of_unet.into_iter().chain(of_others).collect()
}

/// A number and what follows its `_`.
fn number(text: &str) -> Option<(usize, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest.strip_prefix('_').unwrap_or(rest)))
}

/// Of the UNets of Stable Diffusion.
fn unet(name: &str, names: &Names) -> Option<String> {
    let known = names.modules().filter_map(|(own, theirs)| {
        let rest = name.strip_prefix(&plain(own))?;
        let whole = rest.is_empty() || rest.starts_with('_');
        whole.then(|| (own.len(), format!("{}{rest}", plain(theirs))))
    });
    // A name that is a part of another one stands for what the longer one does not.
    known
        .max_by_key(|(length, _)| *length)
        .map(|(_, theirs)| theirs)
}

fn plain(name: &str) -> String {
    name.replace('.', "_")
}

fn within(begin: &str, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("{begin}{name}")).collect()
}

const QUERY_KEY_VALUE: [&str; 3] = ["attn_to_q", "attn_to_k", "attn_to_v"];
const ADDED: [&str; 3] = ["attn_add_q_proj", "attn_add_k_proj", "attn_add_v_proj"];

/// Of FLUX.1.
fn flux(name: &str) -> Option<Vec<String>> {
    if let Some(rest) = name.strip_prefix("double_blocks_") {
        let (index, rest) = number(rest)?;
        let names: &[&str] = match rest {
            "img_attn_qkv" => &QUERY_KEY_VALUE,
            "txt_attn_qkv" => &ADDED,
            "img_attn_proj" => &["attn_to_out_0"],
            "txt_attn_proj" => &["attn_to_add_out"],
            "img_mlp_0" => &["ff_net_0_proj"],
            "img_mlp_2" => &["ff_net_2"],
            "txt_mlp_0" => &["ff_context_net_0_proj"],
            "txt_mlp_2" => &["ff_context_net_2"],
            "img_mod_lin" => &["norm1_linear"],
            "txt_mod_lin" => &["norm1_context_linear"],
            _ => return None,
        };
        return Some(within(&format!("transformer_blocks_{index}_"), names));
    }
    if let Some(rest) = name.strip_prefix("single_blocks_") {
        let (index, rest) = number(rest)?;
        let names: &[&str] = match rest {
            "linear1" => &["attn_to_q", "attn_to_k", "attn_to_v", "proj_mlp"],
            "linear2" => &["proj_out"],
            "modulation_lin" => &["norm_linear"],
            _ => return None,
        };
        return Some(within(
            &format!("single_transformer_blocks_{index}_"),
            names,
        ));
    }
    let theirs = match name {
        "img_in" => "x_embedder",
        "txt_in" => "context_embedder",
        "time_in_in_layer" => "time_text_embed_timestep_embedder_linear_1",
        "time_in_out_layer" => "time_text_embed_timestep_embedder_linear_2",
        "vector_in_in_layer" => "time_text_embed_text_embedder_linear_1",
        "vector_in_out_layer" => "time_text_embed_text_embedder_linear_2",
        "guidance_in_in_layer" => "time_text_embed_guidance_embedder_linear_1",
        "guidance_in_out_layer" => "time_text_embed_guidance_embedder_linear_2",
        "final_layer_linear" => "proj_out",
        _ => return None,
    };
    Some(vec![theirs.to_owned()])
}

/// Of FLUX.2, where it has other names than FLUX.1.
fn flux2(name: &str) -> Option<Vec<String>> {
    let alone = match name {
        "time_in_in_layer" => "time_guidance_embed_timestep_embedder_linear_1",
        "time_in_out_layer" => "time_guidance_embed_timestep_embedder_linear_2",
        "guidance_in_in_layer" => "time_guidance_embed_guidance_embedder_linear_1",
        "guidance_in_out_layer" => "time_guidance_embed_guidance_embedder_linear_2",
        "single_stream_modulation_lin" => "single_stream_modulation_linear",
        "double_stream_modulation_img_lin" => "double_stream_modulation_img_linear",
        "double_stream_modulation_txt_lin" => "double_stream_modulation_txt_linear",
        _ => "",
    };
    if !alone.is_empty() {
        return Some(vec![alone.to_owned()]);
    }
    let (begin, rest) = match name.strip_prefix("double_blocks_") {
        Some(rest) => ("transformer_blocks", rest),
        None => (
            "single_transformer_blocks",
            name.strip_prefix("single_blocks_")?,
        ),
    };
    let (index, rest) = number(rest)?;
    let theirs = match rest {
        "img_mlp_0" => "ff_linear_in",
        "img_mlp_2" => "ff_linear_out",
        "txt_mlp_0" => "ff_context_linear_in",
        "txt_mlp_2" => "ff_context_linear_out",
        "linear1" => "attn_to_qkv_mlp_proj",
        "linear2" => "attn_to_out",
        _ => return None,
    };
    Some(vec![format!("{begin}_{index}_{theirs}")])
}

/// Of Stable Diffusion 3.
fn sd3(name: &str) -> Option<Vec<String>> {
    let (index, rest) = number(name.strip_prefix("joint_blocks_")?)?;
    let names: &[&str] = match rest {
        "x_block_attn_qkv" => &QUERY_KEY_VALUE,
        "context_block_attn_qkv" => &ADDED,
        "x_block_attn2_qkv" => &["attn2_to_q", "attn2_to_k", "attn2_to_v"],
        "x_block_attn_proj" => &["attn_to_out_0"],
        "x_block_attn2_proj" => &["attn2_to_out_0"],
        "context_block_attn_proj" => &["attn_to_add_out"],
        "x_block_mlp_fc1" => &["ff_net_0_proj"],
        "x_block_mlp_fc2" => &["ff_net_2"],
        "context_block_mlp_fc1" => &["ff_context_net_0_proj"],
        "context_block_mlp_fc2" => &["ff_context_net_2"],
        _ => return None,
    };
    Some(within(&format!("transformer_blocks_{index}_"), names))
}

/// Of Z-Image.
fn z_image(name: &str) -> Option<Vec<String>> {
    if let Some(block) = name.strip_suffix("attention_qkv") {
        return Some(within(
            block,
            &["attention_to_q", "attention_to_k", "attention_to_v"],
        ));
    }
    let block = name.strip_suffix("attention_out")?;
    Some(vec![format!("{block}attention_to_out_0")])
}

/// Of Lumina-Image 2.0.
fn lumina2(name: &str) -> Option<Vec<String>> {
    for (own, theirs) in [
        ("attention_qkv", &QUERY_KEY_VALUE[..]),
        ("attention_out", &["attn_to_out_0"]),
        ("feed_forward_w1", &["feed_forward_linear_1"]),
        ("feed_forward_w2", &["feed_forward_linear_2"]),
        ("feed_forward_w3", &["feed_forward_linear_3"]),
        ("adaLN_modulation_1", &["norm1_linear"]),
    ] {
        if let Some(block) = name.strip_suffix(own) {
            return Some(within(block, theirs));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that diffusers' `convert_ldm_unet_checkpoint` gives the modules of Stable Diffusion 1 and SDXL.
    #[test]
    fn blocks_of_unets_are_counted_as_diffusers_does() {
        let names = Names::unet(4, 2);
        for (own, theirs) in [
            (
                "input_blocks_1_0_in_layers_2",
                "down_blocks_0_resnets_0_conv1",
            ),
            (
                "input_blocks_2_1_proj_in",
                "down_blocks_0_attentions_1_proj_in",
            ),
            ("input_blocks_3_0_op", "down_blocks_0_downsamplers_0_conv"),
            (
                "input_blocks_4_1_transformer_blocks_0_attn1_to_q",
                "down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q",
            ),
            (
                "input_blocks_8_0_skip_connection",
                "down_blocks_2_resnets_1_conv_shortcut",
            ),
            ("middle_block_1_proj_out", "mid_block_attentions_0_proj_out"),
            (
                "middle_block_2_emb_layers_1",
                "mid_block_resnets_1_time_emb_proj",
            ),
            (
                "output_blocks_0_1_proj_in",
                "up_blocks_0_attentions_0_proj_in",
            ),
            ("output_blocks_2_2_conv", "up_blocks_0_upsamplers_0_conv"),
            ("output_blocks_2_1_conv", "up_blocks_0_upsamplers_0_conv"),
            (
                "output_blocks_8_0_out_layers_3",
                "up_blocks_2_resnets_2_conv2",
            ),
            ("label_emb_0_2", "add_embedding_linear_2"),
        ] {
            assert_eq!(unet(own, &names).as_deref(), Some(theirs), "{own}");
        }
        for none in [
            "input_blocks_x",
            "middle_block_3_op",
            "output_blocks_99999999999999999999_0",
        ] {
            assert_eq!(unet(none, &names), None, "{none}");
        }
    }

    /// Of diffusers' `_convert_non_diffusers_flux2_lora_to_diffusers`, `_convert_non_diffusers_lumina2_lora_to_diffusers` and
    /// `_convert_kohya_flux_lora_to_diffusers`.
    #[test]
    fn modules_of_transformers_are_those_of_diffusers() {
        for (own, theirs) in [
            (
                "double_blocks_3_img_mlp_0",
                "transformer_blocks_3_ff_linear_in",
            ),
            (
                "single_blocks_12_linear1",
                "single_transformer_blocks_12_attn_to_qkv_mlp_proj",
            ),
            (
                "double_stream_modulation_img_lin",
                "double_stream_modulation_img_linear",
            ),
            (
                "double_blocks_0_txt_mod_lin",
                "transformer_blocks_0_norm1_context_linear",
            ),
            (
                "vector_in_out_layer",
                "time_text_embed_text_embedder_linear_2",
            ),
            ("layers_4_feed_forward_w2", "layers_4_feed_forward_linear_2"),
            ("layers_4_attention_out", "layers_4_attn_to_out_0"),
            ("layers_4_attention_out", "layers_4_attention_to_out_0"),
            (
                "joint_blocks_1_context_block_mlp_fc2",
                "transformer_blocks_1_ff_context_net_2",
            ),
        ] {
            let lists = modules(own, None);
            assert!(lists.contains(&vec![theirs.to_owned()]), "{own}: {lists:?}");
        }
        let parts = ["q", "k", "v"].map(|part| format!("noise_refiner_0_attn_to_{part}"));
        assert!(modules("noise_refiner_0_attention_qkv", None).contains(&parts.to_vec()));
    }
}

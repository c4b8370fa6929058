//! What the configuration of a `UNet2DConditionModel` says.

use serde::Deserialize;
use serde_json::json;

use crate::blocks::{Activation, Groups, Resnet, Waves};
use crate::config::Members;
use crate::error::Result;
use crate::network::Value;

/// Numbers about the picture that SDXL is given: its size, where it was cropped, and the size that is wanted.
pub(super) const SIZES: usize = 6;
/// Most blocks of a transformer.
const MAX_BLOCKS: usize = 64;
/// Most layers of a block.
const MAX_LAYERS: usize = 64;

/// A block of one size.
pub(super) struct Block {
    pub channels: usize,
    pub heads: usize,
    /// Whether its first attention goes to the text as well.
    pub only_text: bool,
    /// Per layer the blocks of its transformer, if it has one.
    pub layers: Vec<Option<usize>>,
}

pub(super) enum Middle {
    None,
    /// One residual block.
    Plain,
    /// Two, and a transformer of so many blocks between them.
    Attending(Block, usize),
}

/// What SDXL adds to the time.
#[derive(Clone, Copy)]
pub(super) struct Added {
    /// Width of the pooled text.
    pub pooled: usize,
    /// Waves of each of the sizes.
    pub waves: usize,
}

pub(super) struct Config {
    pub takes: usize,
    pub gives: usize,
    pub down: Vec<Block>,
    pub middle: Middle,
    pub up: Vec<Block>,
    pub text_width: usize,
    pub time_width: usize,
    /// Width of the embedded guidance scale of consistency models.
    pub guidance: Option<usize>,
    pub added: Option<Added>,
    pub activation: Activation,
    pub groups: usize,
    pub linear: bool,
    pub padding: usize,
    pub window_in: usize,
    pub window_out: usize,
    epsilon: f32,
    cosines_first: bool,
    shift: f64,
}

/// A number for all layers of a block, or one for each.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Depth {
    All(usize),
    Each(Vec<usize>),
}

impl Depth {
    fn of_layers(&self, count: usize) -> Option<Vec<usize>> {
        let each = match self {
            Self::All(blocks) => vec![*blocks; count],
            Self::Each(blocks) => blocks.clone(),
        };
        (each.len() == count && each.iter().all(|blocks| *blocks <= MAX_BLOCKS)).then_some(each)
    }
}

/// One for all blocks, or one for each.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum PerBlock<T> {
    // First: a list is one for each block, not one list for all.
    Each(Vec<T>),
    All(T),
}

impl<T: Clone> PerBlock<T> {
    fn each(self, count: usize) -> Option<Vec<T>> {
        let each = match self {
            Self::All(one) => vec![one; count],
            Self::Each(each) => each,
        };
        (each.len() == count).then_some(each)
    }
}

impl Config {
    pub fn read(mut members: Members) -> Result<Self> {
        let channels = members
            .sizes("block_out_channels")?
            .unwrap_or_else(|| vec![320, 640, 1280, 1280]);
        let count = channels.len();
        let groups = members.count_or("norm_num_groups", 32)?;
        let (first, last) = match channels.as_slice() {
            [first, .., last] => (*first, *last),
            _ => {
                return Err(members.wrong(
                    "block_out_channels",
                    format!("{channels:?}"),
                    "two levels at least are built",
                ));
            }
        };
        if let Some(odd) = channels
            .iter()
            .find(|channels| !channels.is_multiple_of(groups))
        {
            return Err(members.wrong(
                "norm_num_groups",
                groups,
                format!("{odd} channels do not divide into them"),
            ));
        }
        if !first.is_multiple_of(2) {
            return Err(members.wrong("block_out_channels", first, "an even number becomes waves"));
        }
        let layers = members.per_place("layers_per_block", count, 2)?;
        if let Some(many) = layers.iter().find(|layers| **layers > MAX_LAYERS) {
            let problem = format!("{MAX_LAYERS} at most can be built");
            return Err(members.wrong("layers_per_block", many, problem));
        }
        // These are the numbers of heads, whatever they are called: https://github.com/huggingface/diffusers/issues/2011.
        let heads = members.per_place("attention_head_dim", count, 8)?;
        let only_text: PerBlock<bool> = members.or("only_cross_attention", PerBlock::All(false))?;
        let shown = format!("{only_text:?}");
        let only_text = only_text.each(count).ok_or_else(|| {
            members.wrong(
                "only_cross_attention",
                shown,
                format!("there are {count} levels"),
            )
        })?;
        for (&channels, &heads) in channels.iter().zip(&heads) {
            if !channels.is_multiple_of(heads) {
                return Err(members.wrong(
                    "attention_head_dim",
                    heads,
                    format!("{channels} channels do not divide into them"),
                ));
            }
        }
        let widths = members.per_place("cross_attention_dim", count, 1280)?;
        let text_width = widths[0];
        if widths.iter().any(|width| *width != text_width) {
            return Err(members.wrong(
                "cross_attention_dim",
                format!("{widths:?}"),
                "texts of one width are built",
            ));
        }
        let depths: PerBlock<Depth> =
            members.or("transformer_layers_per_block", PerBlock::All(Depth::All(1)))?;
        let upward: Option<Vec<Depth>> = members.get("reverse_transformer_layers_per_block")?;
        let (depths, upward) = depths_of(&members, depths, upward, count)?;

        let down_types = types(&mut members, "down_block_types", count)?;
        let up_types = types(&mut members, "up_block_types", count)?;
        let block = |level: usize, attends: bool, depth: &Depth, more: usize| -> Option<Block> {
            let layers = layers[level] + more;
            Some(Block {
                channels: channels[level],
                heads: heads[level],
                only_text: only_text[level],
                layers: if attends {
                    depth.of_layers(layers)?.into_iter().map(Some).collect()
                } else {
                    vec![None; layers]
                },
            })
        };
        let wrong_depth = |members: &Members, name: &str, depth: &Depth| {
            members.wrong(
                name,
                format!("{depth:?}"),
                "it does not fit the layers of its block",
            )
        };
        let mut down = Vec::new();
        let mut up = Vec::new();
        for level in 0..count {
            let name = "transformer_layers_per_block";
            let attends = attends(
                &members,
                "down_block_types",
                &down_types[level],
                ["DownBlock2D", "CrossAttnDownBlock2D"],
            )?;
            down.push(
                block(level, attends, &depths[level], 0)
                    .ok_or_else(|| wrong_depth(&members, name, &depths[level]))?,
            );
            let attends = self::attends(
                &members,
                "up_block_types",
                &up_types[level],
                ["UpBlock2D", "CrossAttnUpBlock2D"],
            )?;
            let mirrored = count - 1 - level;
            up.push(
                block(mirrored, attends, &upward[level], 1)
                    .ok_or_else(|| wrong_depth(&members, name, &upward[level]))?,
            );
        }
        let middle = match members.nullable::<String>("mid_block_type")? {
            Some(None) => Middle::None,
            Some(Some(kind)) if kind == "UNetMidBlock2D" => Middle::Plain,
            None => Middle::attending(last, heads[count - 1], &depths[count - 1]),
            Some(Some(kind)) if kind == "UNetMidBlock2DCrossAttn" => {
                Middle::attending(last, heads[count - 1], &depths[count - 1])
            }
            Some(Some(other)) => {
                return Err(members.wrong(
                    "mid_block_type",
                    other,
                    "UNetMidBlock2DCrossAttn and UNetMidBlock2D are built",
                ));
            }
        };
        let config = Self {
            takes: members.size_or("in_channels", 4)?,
            gives: members.size_or("out_channels", 4)?,
            down,
            middle,
            up,
            text_width,
            time_width: members.size_or("time_embedding_dim", 4 * first)?,
            guidance: members.size("time_cond_proj_dim")?,
            added: added(&mut members)?,
            activation: Activation::read(&mut members, "act_fn", Activation::Silu)?,
            groups,
            linear: members.or("use_linear_projection", false)?,
            padding: members.or("downsample_padding", 1)?,
            window_in: window(&mut members, "conv_in_kernel")?,
            window_out: window(&mut members, "conv_out_kernel")?,
            epsilon: members.or("norm_eps", 1e-5)?,
            cosines_first: members.or("flip_sin_to_cos", true)?,
            shift: members.or("freq_shift", 0.0)?,
        };
        if config.padding > 1 {
            return Err(members.wrong("downsample_padding", config.padding, "0 and 1 are built"));
        }
        refuse_others(&mut members)?;
        members.finish()?;
        Ok(config)
    }

    /// Channels of the outermost level.
    pub fn first(&self) -> usize {
        self.down.first().map_or(0, |block| block.channels)
    }

    pub fn waves(&self, width: usize) -> Waves {
        Waves {
            width,
            cosines_first: self.cosines_first,
            shift: self.shift,
        }
    }

    /// Residual blocks that are given the time.
    pub fn resnet(&self, time: Value) -> Resnet {
        Resnet {
            groups: Groups {
                count: self.groups,
                epsilon: self.epsilon,
            },
            activation: self.activation,
            time: Some((time, self.time_width)),
        }
    }
}

impl Middle {
    fn attending(channels: usize, heads: usize, depth: &Depth) -> Self {
        let blocks = match depth {
            Depth::All(blocks) => Some(*blocks),
            Depth::Each(blocks) => blocks.first().copied(),
        };
        let block = Block {
            channels,
            heads,
            only_text: false,
            layers: Vec::new(),
        };
        Self::Attending(block, blocks.unwrap_or_default().min(MAX_BLOCKS))
    }
}

/// Depths on the way down and on the way up, which mirrors it unless it says its own.
fn depths_of(
    members: &Members,
    down: PerBlock<Depth>,
    up: Option<Vec<Depth>>,
    count: usize,
) -> Result<(Vec<Depth>, Vec<Depth>)> {
    let shown = format!("{down:?}");
    let wrong = |problem: &str| members.wrong("transformer_layers_per_block", &shown, problem);
    let down = down
        .each(count)
        .ok_or_else(|| wrong("it has another number of levels"))?;
    let up = match up {
        Some(up) => up,
        None if down.iter().any(|depth| matches!(depth, Depth::Each(_))) => {
            return Err(wrong(
                "reverse_transformer_layers_per_block has to say those of the way up",
            ));
        }
        None => down.iter().rev().cloned().collect(),
    };
    if up.len() != count {
        return Err(wrong(
            "reverse_transformer_layers_per_block has another number of levels",
        ));
    }
    Ok((down, up))
}

fn types(members: &mut Members, name: &str, count: usize) -> Result<Vec<String>> {
    let default = match name {
        "down_block_types" => [
            "CrossAttnDownBlock2D",
            "CrossAttnDownBlock2D",
            "CrossAttnDownBlock2D",
            "DownBlock2D",
        ],
        _ => [
            "UpBlock2D",
            "CrossAttnUpBlock2D",
            "CrossAttnUpBlock2D",
            "CrossAttnUpBlock2D",
        ],
    };
    let types: Vec<String> = members.or(name, default.map(str::to_owned).to_vec())?;
    if types.len() == count {
        Ok(types)
    } else {
        Err(members.wrong(name, types.join(", "), format!("there are {count} levels")))
    }
}

/// Whether blocks of a type attend to the text.
fn attends(
    members: &Members,
    name: &str,
    kind: &str,
    [plain, attending]: [&str; 2],
) -> Result<bool> {
    if kind == plain {
        Ok(false)
    } else if kind == attending {
        Ok(true)
    } else {
        Err(members.wrong(name, kind, format!("{plain} and {attending} are built")))
    }
}

fn added(members: &mut Members) -> Result<Option<Added>> {
    let waves = members.size("addition_time_embed_dim")?;
    let all = members.size("projection_class_embeddings_input_dim")?;
    let Some(kind) = members.get::<String>("addition_embed_type")? else {
        return Ok(None);
    };
    if kind != "text_time" {
        return Err(members.wrong("addition_embed_type", kind, "text_time is built"));
    }
    let pooled = |waves: usize| all?.checked_sub(SIZES * waves).filter(|width| *width > 0);
    match waves.and_then(|waves| {
        Some(Added {
            pooled: pooled(waves)?,
            waves,
        })
    }) {
        Some(added) if added.waves.is_multiple_of(2) => Ok(Some(added)),
        _ => {
            let problem =
                "addition_time_embed_dim and projection_class_embeddings_input_dim do not fit it";
            Err(members.wrong("addition_embed_type", kind, problem))
        }
    }
}

fn window(members: &mut Members, name: &str) -> Result<usize> {
    let side = members.size_or(name, 3)?;
    if side.is_multiple_of(2) {
        return Err(members.wrong(name, side, "odd windows are built"));
    }
    Ok(side)
}

/// What other networks of this class have and these have not.
fn refuse_others(members: &mut Members) -> Result<()> {
    for name in [
        "class_embed_type",
        "cross_attention_norm",
        "encoder_hid_dim",
        "encoder_hid_dim_type",
        "num_attention_heads",
        "num_class_embeds",
        "time_embedding_act_fn",
        "timestep_post_act",
    ] {
        members.only(name, &[])?;
    }
    for (name, built) in [
        ("attention_type", json!("default")),
        ("center_input_sample", json!(false)),
        ("class_embeddings_concat", json!(false)),
        ("dual_cross_attention", json!(false)),
        ("mid_block_scale_factor", json!(1)),
        ("resnet_out_scale_factor", json!(1)),
        ("resnet_skip_time_act", json!(false)),
        ("resnet_time_scale_shift", json!("default")),
        ("time_embedding_type", json!("positional")),
    ] {
        members.only(name, &[built])?;
    }
    // Of block types that are not built, of training and its running averages, and of 16-bit arithmetic, which these graphs do not do.
    members.irrelevant(&[
        "addition_embed_type_num_heads",
        "decay",
        "dropout",
        "inv_gamma",
        "mid_block_only_cross_attention",
        "min_decay",
        "optimization_step",
        "power",
        "sample_size",
        "upcast_attention",
        "update_after_step",
        "use_ema_warmup",
    ]);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::Value;

    use super::*;

    fn read(changes: Value) -> std::result::Result<Config, String> {
        let mut config = json!({
            "block_out_channels": [32, 64, 128], "attention_head_dim": [4, 8, 16], "cross_attention_dim": 24, "layers_per_block": 2,
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        });
        for (name, value) in changes.as_object().unwrap() {
            config[name] = value.clone();
        }
        let members = Members::new("UNet2DConditionModel", &config).unwrap();
        Config::read(members).map_err(|error| error.to_string())
    }

    fn depths(blocks: &[Block]) -> Vec<Vec<Option<usize>>> {
        blocks.iter().map(|block| block.layers.clone()).collect()
    }

    /// As diffusers' constructor walks the lists.
    #[test]
    fn the_way_up_mirrors_the_way_down_unless_it_says_its_own() {
        let config = read(json!({"transformer_layers_per_block": [1, 2, 10]})).unwrap();
        assert_eq!(
            depths(&config.down),
            [vec![None; 2], vec![Some(2); 2], vec![Some(10); 2]]
        );
        assert_eq!(
            depths(&config.up),
            [vec![Some(10); 3], vec![Some(2); 3], vec![None; 3]]
        );
        assert!(matches!(config.middle, Middle::Attending(_, 10)));
        let (up, heads): (Vec<_>, Vec<_>) = config
            .up
            .iter()
            .map(|block| (block.channels, block.heads))
            .unzip();
        assert_eq!((up, heads), (vec![128, 64, 32], vec![16, 8, 4]));

        let config = read(
            json!({"transformer_layers_per_block": [1, [2, 2], [4, 4]], "mid_block_type": "UNetMidBlock2D",
            "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], 1]}),
        );
        let config = config.unwrap();
        assert_eq!(
            depths(&config.up)[..2],
            [
                vec![Some(4), Some(4), Some(10)],
                vec![Some(2), Some(1), Some(1)]
            ]
        );
        assert!(matches!(config.middle, Middle::Plain));
        let config = read(json!({"mid_block_type": null})).unwrap();
        assert!(matches!(config.middle, Middle::None));
        let config = read(json!({})).unwrap();
        assert!(matches!(config.middle, Middle::Attending(_, 1)));
    }

    #[test]
    fn what_is_not_built_is_refused_by_name() {
        for (changes, said) in [
            (
                json!({"transformer_layers_per_block": [1, [2, 2], [4, 4]]}),
                "reverse_transformer_layers_per_block",
            ),
            (
                json!({"transformer_layers_per_block": [1, [2], 1], "reverse_transformer_layers_per_block": [1, 1, 1]}),
                "transformer_layers_per_block",
            ),
            (
                json!({"transformer_layers_per_block": [1, 2]}),
                "transformer_layers_per_block",
            ),
            (
                json!({"attention_head_dim": [4, 8, 12]}),
                "attention_head_dim",
            ),
            (
                json!({"cross_attention_dim": [24, 24, 48]}),
                "cross_attention_dim",
            ),
            (json!({"norm_num_groups": 24}), "norm_num_groups"),
            (json!({"num_attention_heads": 8}), "num_attention_heads"),
            (json!({"class_embed_type": "timestep"}), "class_embed_type"),
            (
                json!({"encoder_hid_dim_type": "text_proj"}),
                "encoder_hid_dim_type",
            ),
            (
                json!({"addition_embed_type": "image"}),
                "addition_embed_type",
            ),
            (
                json!({"addition_embed_type": "text_time", "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 100}),
                "addition_embed_type",
            ),
            (
                json!({"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"}),
                "UNetMidBlock2DSimpleCrossAttn",
            ),
            (
                json!({"up_block_types": ["AttnUpBlock2D", "UpBlock2D", "UpBlock2D"]}),
                "AttnUpBlock2D",
            ),
            (json!({"conv_in_kernel": 2}), "conv_in_kernel"),
            (json!({"downsample_padding": 3}), "downsample_padding"),
            (json!({"layers_per_block": 1000}), "layers_per_block"),
            (json!({"block_out_channels": [32]}), "block_out_channels"),
            (
                json!({"mid_block_scale_factor": 1.4}),
                "mid_block_scale_factor",
            ),
        ] {
            let error = read(changes.clone()).err().unwrap_or_default();
            assert!(error.contains(said), "{changes}: {error}");
        }
    }
}

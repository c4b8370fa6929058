//! Why no graph can be built.

/// What is wrong with a component, by the names that its author gave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is no safetensors, or breaks off.
    #[error("{file} is no safetensors file that can be read: {problem}")]
    Header {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// The index and the files that it names do not fit together.
    #[error("the index of the weights: {0}")]
    Index(String),
    /// A checkpoint in one file that is none that is known.
    #[error("{file} cannot be read as a checkpoint: {problem}")]
    Checkpoint {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// The configuration names no class.
    #[error("config.json names no class, neither as _class_name nor in architectures")]
    NoClass,
    /// Another class than those that are known.
    #[error("there is no builder for the class {class}; there are {known}")]
    UnknownClass {
        /// The class.
        class: String,
        /// Those that are known.
        known: String,
    },
    /// A class in a place where it does nothing.
    #[error("{class} is no {part}")]
    OtherPart {
        /// The class.
        class: String,
        /// What is wanted.
        part: &'static str,
    },
    /// A member whose meaning is not known.
    #[error("config.json of {class} has {}, which this hub does not know", .names.join(", "))]
    UnknownMembers {
        /// The class.
        class: String,
        /// Its members.
        names: Vec<String>,
    },
    /// A member whose value asks for what is not built, or is none that can be.
    #[error("{member} of {class} is {value}: {problem}")]
    Member {
        /// The class.
        class: String,
        /// The member.
        member: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Weights that the network needs are not in the files.
    #[error("the weights lack {0}")]
    Missing(String),
    /// A weight has another shape than the configuration says.
    #[error("{name} has the shape {found:?}, the configuration makes it {wanted:?}")]
    Shape {
        /// The weight.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape by the configuration.
        wanted: Vec<usize>,
    },
    /// A weight of a type that is not computed with.
    #[error("{name} is stored as {found}; F32, F16 and BF16 can be used")]
    Type {
        /// The weight.
        name: String,
        /// Its type.
        found: String,
    },
    /// Weights that nothing reads: the network is another one than the configuration says.
    #[error("nothing reads {}", listed(.0))]
    Unused(Vec<String>),
    /// A weight that cannot be kept in fewer bits.
    #[error(
        "{0} has numbers that are not finite, or too large for 16 bits; its weights can be kept as they are"
    )]
    NotFinite(String),
    /// A tensor of a LoRA that is none, or does not fit.
    #[error("{key}: {problem}")]
    Lora {
        /// The tensor or the module.
        key: String,
        /// What is wrong.
        problem: String,
    },
    /// Modules of a LoRA that the model does not have.
    #[error("the model has no weights for {}", listed(.0))]
    Unbound(Vec<String>),
    /// The author's files or the one that is written.
    #[error("{what}: {problem}")]
    Io {
        /// What went wrong.
        what: String,
        /// Why.
        problem: String,
    },
    /// A layer of a network that is described layer by layer, or a weight of it.
    #[error("{layer}: {problem}")]
    Layers {
        /// The layer or the weight.
        layer: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Hidden states that the encoder does not have.
    #[error("hidden states behind layer {wanted} are asked for; there are {layers} layers")]
    Layer {
        /// Layers before them.
        wanted: usize,
        /// Layers that there are.
        layers: usize,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Most names in a message.
const SHOWN: usize = 5;

fn listed(names: &[String]) -> String {
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

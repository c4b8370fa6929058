//! Which optimisations are made.

use crate::error::{Error, ErrorKind};

/// An optimisation. All are on by default, and each changes results by rounding at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Nodes of constants are computed once per model instead of once per plan.
    Constants,
    /// Nodes that no output depends on are dropped.
    DeadCode,
    /// Casts to the type that a value has already are dropped.
    Casts,
    /// Equal nodes on equal inputs are computed once.
    CommonSubexpressions,
    /// GroupNorm as exporters spell it becomes one operator.
    GroupNorm,
    /// LayerNorm as exporters before opset 17 spell it becomes one operator.
    LayerNorm,
    /// SiLU, GELU and quick GELU as exporters spell them become one operator.
    Activation,
    /// Scaled dot products, mask, softmax and the product with the values become one operator.
    Attention,
    /// Biases, residuals and activations move into the operator before them.
    Epilogue,
    /// A product and the sum after it become one operator.
    MulAdd,
    /// Transposes, slices, splits and expansions are read through strides instead of copied where the reader can.
    Views,
    /// A nearest-neighbour upsampling is read by the convolution after it instead of written.
    Upsample,
}

/// A set of [`Pass`]es.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Passes(u32);

impl Pass {
    /// Every pass, in the order in which they run.
    pub const ALL: [Self; 12] = [
        Self::Constants,
        Self::DeadCode,
        Self::Casts,
        Self::CommonSubexpressions,
        Self::GroupNorm,
        Self::LayerNorm,
        Self::Activation,
        Self::Attention,
        Self::Epilogue,
        Self::MulAdd,
        Self::Views,
        Self::Upsample,
    ];

    /// The name that [`std::str::FromStr`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Self::Constants => "constants",
            Self::DeadCode => "dead-code",
            Self::Casts => "casts",
            Self::CommonSubexpressions => "common-subexpressions",
            Self::GroupNorm => "group-norm",
            Self::LayerNorm => "layer-norm",
            Self::Activation => "activation",
            Self::Attention => "attention",
            Self::Epilogue => "epilogue",
            Self::MulAdd => "mul-add",
            Self::Views => "views",
            Self::Upsample => "upsample",
        }
    }
}

impl std::str::FromStr for Pass {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|pass| pass.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::new(
                ErrorKind::InvalidInput,
                format!("no pass '{text}'; there are {names}"),
            )
        })
    }
}

impl Passes {
    /// Every pass.
    pub const ALL: Self = Self((1 << Pass::ALL.len()) - 1);
    /// No pass.
    pub const NONE: Self = Self(0);

    /// The set and `pass`.
    #[must_use]
    pub const fn with(self, pass: Pass) -> Self {
        Self(self.0 | 1 << pass as u32)
    }

    /// The set less `pass`.
    #[must_use]
    pub const fn without(self, pass: Pass) -> Self {
        Self(self.0 & !(1 << pass as u32))
    }

    /// Whether `pass` is in the set.
    pub const fn contains(self, pass: Pass) -> bool {
        self.0 >> pass as u32 & 1 == 1
    }
}

impl Default for Passes {
    fn default() -> Self {
        Self::ALL
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sets_hold_what_was_put_in() {
        for pass in Pass::ALL {
            assert!(Passes::ALL.contains(pass));
            assert!(!Passes::ALL.without(pass).contains(pass));
            assert_eq!(Passes::NONE.with(pass).without(pass), Passes::NONE);
            assert_eq!(pass.name().parse::<Pass>().unwrap(), pass);
        }
        assert!("winograd".parse::<Pass>().is_err());
    }
}

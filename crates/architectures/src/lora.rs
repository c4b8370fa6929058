//! LoRA (Hu et al., arXiv:2106.09685): a file of pairs of narrow matrices, whose products are added to weights of a model.
//!
//! [`additions`] finds the weight of each pair by the names that kohya's scripts, diffusers and ComfyUI give, and refuses by its name
//! what belongs to no weight, has another shape than it, or is another kind of change. It reads the pairs to see that they are numbers,
//! and adds nothing: whoever reads the weights does.

mod keys;
mod notes;
mod original;
mod place;

use std::collections::BTreeMap;
use std::io;

use crate::error::{Error, Result};
use crate::smaller::{ReadAt, widened};
use crate::weights::{Element, Header, Stored, Weights};
use keys::Module;
use notes::Notes;
use place::Index;

/// Largest rank.
const MAX_RANK: usize = 4096;
/// Bytes that are read at a time.
const CHUNK: usize = 1 << 20;

/// A part of a model that has weights to add to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The network that is asked at each step.
    Denoiser,
    /// A text encoder; the first is 0.
    TextEncoder(usize),
}

/// A component and its weights.
#[derive(Clone, Copy, Debug)]
pub struct Target<'w> {
    /// Which it is.
    pub component: Component,
    /// The names are those of diffusers or transformers.
    pub weights: &'w Weights,
}

/// A product that is added to a weight: `up` times `down` times `scale`.
#[derive(Clone, Debug, PartialEq)]
pub struct Addition {
    /// The component of the weight.
    pub component: Component,
    /// Name of the weight.
    pub tensor: String,
    /// Which of the component's files it is in.
    pub file: usize,
    /// Where; seen as a matrix, it has a row for each number of its first dimension.
    pub weight: Stored,
    /// Where in the LoRA's file `[rank, width]` is, `width` the numbers of a row of the weight.
    pub down: Stored,
    /// Where in the LoRA's file `[rows, rank]` is.
    pub up: Stored,
    /// Rank of the product, at most.
    pub rank: usize,
    /// What the product is multiplied by at weight 1: alpha by rank.
    pub scale: f32,
}

impl Addition {
    /// Rows of the weight, and numbers in each.
    pub fn size(&self) -> [usize; 2] {
        [
            self.weight.shape.first().copied().unwrap_or(1),
            width(&self.weight),
        ]
    }
}

/// What a LoRA adds to the weights of a model; `header` is that of `file`, which `source` reads.
///
/// # Errors
/// [`Error::Lora`] and [`Error::Unbound`] by the names of tensors; [`Error::Io`].
pub fn additions(
    file: &str,
    header: &Header,
    source: &mut dyn ReadAt,
    targets: &[Target<'_>],
) -> Result<Vec<Addition>> {
    let notes = Notes::of(header)?;
    let modules = keys::modules(header)?;
    let indexes: BTreeMap<Component, (Index<'_>, &Weights)> = targets
        .iter()
        .map(|target| {
            let index = Index::of(target.component, target.weights);
            (target.component, (index, target.weights))
        })
        .collect();
    let mut reading = Reading { file, source };
    let mut found: BTreeMap<(Component, String), Addition> = BTreeMap::new();
    let mut unbound = Vec::new();
    for (name, module) in &modules {
        let place = place::of(name, |component| indexes.contains_key(&component));
        let bound = indexes.get(&place.component);
        let bound =
            bound.and_then(|(index, weights)| Some((index.tensors(place.module)?, *weights)));
        let Some((tensors, weights)) = bound else {
            unbound.push(name.clone());
            continue;
        };
        let pair = Pair::of(name, module)?;
        let alpha = match module.alpha {
            Some(alpha) => Some(reading.one(name, alpha)?),
            None => notes.alpha(&place, pair.rank)?,
        };
        let scale = alpha.map_or(1.0, |alpha| alpha / pair.rank as f32);
        if !scale.is_finite() {
            return Err(wrong(name, "its alpha is no number"));
        }
        for (tensor, addition) in pair.parts(name, &tensors, weights)? {
            let addition = Addition {
                component: place.component,
                scale,
                ..addition
            };
            if found
                .insert((place.component, tensor.clone()), addition)
                .is_some()
            {
                return Err(wrong(name, format!("{tensor} is added to twice")));
            }
        }
        for (key, stored) in [&pair.down, &pair.up] {
            reading.is_finite(key, stored)?;
        }
    }
    if !unbound.is_empty() {
        return Err(Error::Unbound(unbound));
    }
    Ok(found.into_values().collect())
}

fn wrong(key: &str, problem: impl Into<String>) -> Error {
    Error::Lora {
        key: key.to_owned(),
        problem: problem.into(),
    }
}

/// Numbers in a row of a weight.
fn width(weight: &Stored) -> usize {
    let inner = weight.shape.iter().skip(1);
    inner.fold(1, |width: usize, &size| width.saturating_mul(size))
}

/// The two matrices of a module.
struct Pair<'h> {
    down: (&'h str, &'h Stored),
    up: (&'h str, &'h Stored),
    rank: usize,
}

impl<'h> Pair<'h> {
    fn of(name: &str, module: &Module<'h>) -> Result<Self> {
        let (Some(down), Some(up)) = (module.down, module.up) else {
            let lacks = if module.down.is_none() {
                "first"
            } else {
                "second"
            };
            return Err(wrong(name, format!("its {lacks} matrix is missing")));
        };
        let rank = down.1.shape.first().copied().unwrap_or(0);
        if !(1..=MAX_RANK).contains(&rank) {
            return Err(wrong(
                down.0,
                format!("its rank is {rank}; 1 to {MAX_RANK} can be"),
            ));
        }
        let ranked = |shape: &[usize]| match shape {
            [_, columns, rest @ ..] => *columns == rank && rest.iter().all(|&size| size == 1),
            _ => false,
        };
        if !ranked(&up.1.shape) {
            let shape = &up.1.shape;
            return Err(wrong(
                up.0,
                format!("its shape is {shape:?}, the other matrix has the rank {rank}"),
            ));
        }
        for (key, stored) in [down, up] {
            if let Element::Other(dtype) = stored.element {
                return Err(wrong(
                    key,
                    format!("it is stored as {dtype:?}; F32, F16 and BF16 can be used"),
                ));
            }
        }
        Ok(Self { down, up, rank })
    }

    /// What is added to each of the weights that lie one behind the other in the module's rows.
    fn parts(
        &self,
        name: &str,
        tensors: &[&str],
        weights: &Weights,
    ) -> Result<Vec<(String, Addition)>> {
        let rows = self.up.1.shape.first().copied().unwrap_or(0);
        let each = self.up.1.length / (rows as u64).max(1);
        let (mut parts, mut row) = (Vec::new(), 0usize);
        for tensor in tensors {
            let missing = || wrong(name, format!("there is no {tensor}"));
            let (file, weight) = weights.get(tensor).ok_or_else(missing)?;
            if matches!(weight.element, Element::Other(_)) || weight.shape.len() < 2 {
                return Err(wrong(name, format!("{tensor} is no matrix of floats")));
            }
            if !fits(&self.down.1.shape, self.rank, &weight.shape) {
                let (found, wanted) = (&self.down.1.shape, &weight.shape);
                return Err(wrong(
                    self.down.0,
                    format!("its shape is {found:?}, that of {tensor} {wanted:?}"),
                ));
            }
            let own = weight.shape.first().copied().unwrap_or(0);
            let up = Stored {
                element: self.up.1.element,
                shape: vec![own, self.rank],
                offset: self.up.1.offset + row as u64 * each,
                length: own as u64 * each,
            };
            row = row.saturating_add(own);
            let addition = Addition {
                component: Component::Denoiser,
                tensor: (*tensor).to_owned(),
                file,
                weight: weight.clone(),
                down: self.down.1.clone(),
                up,
                rank: self.rank,
                scale: 1.0,
            };
            parts.push(((*tensor).to_owned(), addition));
        }
        if row != rows {
            let names = tensors.join(", ");
            return Err(wrong(
                self.up.0,
                format!("it has {rows} rows, {names} {row}"),
            ));
        }
        Ok(parts)
    }
}

/// Whether `[rank, …]` has the inner dimensions of a weight; ones at the end do not count.
fn fits(down: &[usize], rank: usize, weight: &[usize]) -> bool {
    let plain = |shape: &[usize]| -> Vec<usize> {
        let end = shape
            .iter()
            .rposition(|&size| size != 1)
            .map_or(0, |at| at + 1);
        shape.get(..end).unwrap_or_default().to_vec()
    };
    let (own, wanted) = (down.get(1..), weight.get(1..));
    down.first() == Some(&rank) && own.map(plain) == wanted.map(plain)
}

struct Reading<'r> {
    file: &'r str,
    source: &'r mut dyn ReadAt,
}

impl Reading<'_> {
    fn read(&mut self, key: &str, offset: u64, into: &mut [u8]) -> Result<()> {
        let file = self.file;
        let unread = |error: io::Error| Error::Io {
            what: format!("{key} of {file} cannot be read"),
            problem: error.to_string(),
        };
        self.source.read_at(file, offset, into).map_err(unread)
    }

    /// The only number of a tensor.
    fn one(&mut self, name: &str, (key, stored): (&str, &Stored)) -> Result<f32> {
        let one = stored.shape.iter().all(|&size| size == 1);
        if !one || matches!(stored.element, Element::Other(_)) {
            return Err(wrong(key, format!("the alpha of {name} is no float")));
        }
        let mut raw = vec![0; stored.length as usize];
        self.read(key, stored.offset, &mut raw)?;
        let mut number = [0.0];
        widened(stored.element, &raw, &mut number);
        Ok(number[0])
    }

    fn is_finite(&mut self, key: &str, stored: &Stored) -> Result<()> {
        let (mut raw, mut numbers) = (vec![0; CHUNK], vec![0.0; CHUNK / 2]);
        let mut done = 0;
        while done < stored.length {
            let now = (stored.length - done).min(CHUNK as u64);
            let raw = &mut raw[..now as usize];
            self.read(key, stored.offset + done, raw)?;
            let numbers = &mut numbers[..(now / stored.element.bytes()) as usize];
            widened(stored.element, raw, numbers);
            if !numbers.iter().all(|x| x.is_finite()) {
                return Err(wrong(key, "it has numbers that are not finite"));
            }
            done += now;
        }
        Ok(())
    }
}

//! Ports that transformers have in common, which are asked about one picture and one prompt at a time.

use crate::network::{Dim, Network, PortType, Value};

/// The only row of a run.
pub(super) const ONE: Dim = Dim::Is(1);

/// Shape of latents of so many channels.
pub(super) fn planes(channels: usize) -> [Dim; 4] {
    [ONE, Dim::Is(channels), Dim::Of("height"), Dim::Of("width")]
}

/// The latents `sample` and the time `timestep`.
pub(super) fn sample_and_time(network: &mut Network<'_>, channels: usize) -> [Value; 2] {
    [
        network.input("sample", PortType::Float32, &planes(channels)),
        network.input("timestep", PortType::Float32, &[ONE]),
    ]
}

/// Hidden states of a prompt, `sequence_length` of them.
pub(super) fn states(network: &mut Network<'_>, name: &str, width: usize) -> Value {
    let shape = [ONE, Dim::Of("sequence_length"), Dim::Is(width)];
    network.input(name, PortType::Float32, &shape)
}

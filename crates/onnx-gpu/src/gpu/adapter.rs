//! Which adapter to use, and what an adapter says about itself.

use std::fmt;
use std::str::FromStr;

use crate::kernels::AdapterClass;
use crate::{Error, ErrorKind, Result};

/// Which adapter to run on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdapterChoice {
    /// What the system prefers.
    #[default]
    Default,
    /// The fastest one.
    HighPerformance,
    /// A CPU implementation.
    Software,
    /// The n-th of [`Gpu::adapters`](super::Gpu::adapters); native only.
    Index(usize),
    /// The first whose name contains this text, in any case; native only.
    Name(String),
}

impl FromStr for AdapterChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "default" => Self::Default,
            "high" => Self::HighPerformance,
            "software" => Self::Software,
            "" => {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    "empty adapter: use default, high, software, an index or a part of its name",
                ));
            }
            other => other
                .parse()
                .map_or_else(|_| Self::Name(other.to_owned()), Self::Index),
        })
    }
}

impl fmt::Display for AdapterChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::HighPerformance => f.write_str("high"),
            Self::Software => f.write_str("software"),
            Self::Index(index) => write!(f, "{index}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// An adapter's name and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterSummary {
    /// As the driver reports it; may be empty in a browser.
    pub name: String,
    /// `vulkan`, `metal`, `dx12`, `webgpu`.
    pub backend: String,
    /// PCI vendor id, 0 where unknown.
    pub vendor: u32,
    /// `DiscreteGpu`, `IntegratedGpu`, `VirtualGpu`, `Cpu`, `Other`.
    pub device_type: String,
    /// Driver name and version.
    pub driver: String,
    /// Whether a CPU does the work.
    pub software: bool,
    /// Largest buffer in bytes.
    pub max_buffer_size: u64,
    /// Largest storage binding in bytes.
    pub max_storage_buffer_binding_size: u64,
    /// Whether 16-bit floats can be used in shaders.
    pub shader_f16: bool,
    /// Whether timestamps can be taken.
    pub timestamps: bool,
}

impl AdapterSummary {
    pub(super) fn of(adapter: &wgpu::Adapter) -> Self {
        let info = adapter.get_info();
        let limits = adapter.limits();
        let features = adapter.features();
        Self {
            software: is_software(&info),
            backend: info.backend.to_string(),
            vendor: info.vendor,
            device_type: format!("{:?}", info.device_type),
            driver: format!("{} {}", info.driver, info.driver_info)
                .trim()
                .to_owned(),
            name: info.name,
            max_buffer_size: limits.max_buffer_size,
            max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
            shader_f16: features.contains(wgpu::Features::SHADER_F16),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        }
    }

    /// The class that kernels are chosen by.
    pub fn class(&self) -> AdapterClass {
        if self.software {
            AdapterClass::Software
        } else {
            AdapterClass::Hardware
        }
    }
}

/// Names under which CPU implementations report themselves.
const SOFTWARE_NAMES: [&str; 4] = ["llvmpipe", "swiftshader", "lavapipe", "basic render"];

fn is_software(info: &wgpu::AdapterInfo) -> bool {
    let name = info.name.to_lowercase();
    info.device_type == wgpu::DeviceType::Cpu || SOFTWARE_NAMES.iter().any(|s| name.contains(s))
}

/// Finds the adapter of a choice.
pub(super) async fn select(
    instance: &wgpu::Instance,
    choice: &AdapterChoice,
) -> Result<wgpu::Adapter> {
    let mut options = wgpu::RequestAdapterOptions::default();
    match choice {
        AdapterChoice::Default => {}
        AdapterChoice::HighPerformance => {
            options.power_preference = wgpu::PowerPreference::HighPerformance;
        }
        AdapterChoice::Software => options.force_fallback_adapter = true,
        AdapterChoice::Index(_) | AdapterChoice::Name(_) => return listed(instance, choice).await,
    }
    instance.request_adapter(&options).await.map_err(|error| {
        Error::new(
            ErrorKind::NoAdapter,
            format!("no adapter for '{choice}': {error}"),
        )
    })
}

#[cfg(not(target_arch = "wasm32"))]
async fn listed(instance: &wgpu::Instance, choice: &AdapterChoice) -> Result<wgpu::Adapter> {
    let adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
    let names: Vec<String> = adapters.iter().map(|a| a.get_info().name).collect();
    let found = adapters
        .into_iter()
        .enumerate()
        .find(|(index, adapter)| match choice {
            AdapterChoice::Index(wanted) => index == wanted,
            AdapterChoice::Name(part) => adapter
                .get_info()
                .name
                .to_lowercase()
                .contains(&part.to_lowercase()),
            _ => false,
        });
    found.map(|(_, adapter)| adapter).ok_or_else(|| {
        Error::new(
            ErrorKind::NoAdapter,
            format!("no adapter '{choice}' among {names:?}"),
        )
    })
}

#[cfg(target_arch = "wasm32")]
#[expect(clippy::unused_async, reason = "same signature as the native one")]
async fn listed(_instance: &wgpu::Instance, choice: &AdapterChoice) -> Result<wgpu::Adapter> {
    Err(Error::new(
        ErrorKind::NoAdapter,
        format!("browsers do not list adapters: '{choice}' must be default, high or software"),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn choices_parse_and_print_back() {
        for (text, choice) in [
            ("default", AdapterChoice::Default),
            ("high", AdapterChoice::HighPerformance),
            ("software", AdapterChoice::Software),
            ("2", AdapterChoice::Index(2)),
            ("llvmpipe", AdapterChoice::Name("llvmpipe".into())),
        ] {
            assert_eq!(text.parse::<AdapterChoice>().unwrap(), choice);
            assert_eq!(choice.to_string(), text);
        }
        assert!("".parse::<AdapterChoice>().is_err());
    }
}

//! Whether a picture is made in the browser or on the server, and why.

use serde::{Deserialize, Serialize};

use crate::residency::{Demand, Residency};
use crate::verdict::streams_quickly;

/// What the visitor wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Browser where the model fits a GPU, else server.
    #[default]
    Auto,
    /// Never send the request anywhere.
    BrowserOnly,
    /// Server, also where the browser could.
    PreferServer,
}

/// A WebGPU adapter as the browser describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AdapterReport {
    /// `GPUAdapterInfo.vendor`, may be empty.
    pub vendor: String,
    /// `GPUAdapterInfo.architecture`, may be empty.
    pub architecture: String,
    /// `GPUAdapterInfo.description`, may be empty.
    pub description: String,
    /// Runs on the CPU (fallback adapter).
    pub software: bool,
    /// `shader-f16` offered.
    pub shader_f16: bool,
    /// `maxBufferSize` in bytes.
    pub max_buffer_size: u64,
    /// `maxStorageBufferBindingSize` in bytes.
    pub max_storage_buffer_binding_size: u64,
    /// How fast it ran a kernel, where that was measured.
    #[serde(default)]
    pub speed: Option<KernelSpeed>,
}

/// How fast an adapter ran the runtime's own matrix product in the probe.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelSpeed {
    /// Multiplications and additions per second, 32-bit floats.
    pub flops_per_second: f64,
    /// Milliseconds that one more dispatch takes which has next to nothing to compute.
    pub dispatch_ms: f64,
    /// Milliseconds from handing work over to hearing of its end, for next to no work.
    pub round_trip_ms: f64,
    /// Bytes per second from the worker's memory to the adapter's, where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_bytes_per_second: Option<f64>,
}

/// What a browser can do, probed before any download.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CapabilityReport {
    /// `navigator.gpu` exists in the worker.
    pub webgpu: bool,
    /// The adapter, where the browser gave one.
    pub adapter: Option<AdapterReport>,
    /// `navigator.deviceMemory` in bytes, where the browser tells; rounded, and 8 GiB may mean more.
    #[serde(default)]
    pub device_memory_bytes: Option<u64>,
    /// Multiplications and additions per second of the engine on the processor, 32-bit floats, where that was measured.
    #[serde(default)]
    pub processor_flops_per_second: Option<f64>,
}

/// Where a request runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In this browser, on WebGPU.
    BrowserGpu,
    /// In this browser, on the CPU (wasm SIMD).
    BrowserCpu,
    /// On the server's endpoint.
    Server,
}

impl Place {
    /// Whose machine it is.
    pub fn runs_on(self) -> RunsOn {
        match self {
            Self::BrowserGpu | Self::BrowserCpu => RunsOn::Browser,
            Self::Server => RunsOn::Server,
        }
    }
}

/// Whose machine makes a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunsOn {
    /// A visitor's, in the browser.
    #[default]
    Browser,
    /// The hub's, or an endpoint that it asks.
    Server,
}

impl RunsOn {
    /// `browser` or `server`, as recipes, addresses and forms say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Server => "server",
        }
    }
}

/// Why it runs there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// The model fits the GPU.
    GpuFits,
    /// One part of the model at a time fits the GPU.
    OneAtATime,
    /// No whole part of the model fits the GPU: layers are brought to it.
    Streamed {
        /// Bytes at each step.
        step_bytes: u64,
    },
    /// That would take too long while one watches.
    StreamedTooSlow {
        /// Bytes at each step.
        step_bytes: u64,
    },
    /// Tests or the visitor asked for the software adapter.
    SoftwareAdapterAccepted,
    /// The visitor chose.
    VisitorChoice,
    /// The model runs on an endpoint elsewhere; browsers get no package of it.
    NoPackage,
    /// The browser has no WebGPU.
    NoWebGpu,
    /// WebGPU is there, but no adapter.
    NoAdapter,
    /// The only adapter is a software one.
    SoftwareAdapter,
    /// A limit is below the model's need; sizes in bytes.
    LimitTooSmall {
        /// WebGPU name of the limit.
        limit: String,
        /// What the adapter offers.
        offered: u64,
        /// What the model needs.
        needed: u64,
    },
    /// The device has less memory than the model needs; sizes in bytes.
    MemoryTooSmall {
        /// What the browser says that the device has.
        offered: u64,
        /// What the model needs.
        needed: u64,
    },
    /// It was tried in the browser and failed.
    BrowserFailed {
        /// The error's sentence.
        detail: String,
    },
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::GpuFits => f.write_str("this model fits your GPU"),
            Self::OneAtATime => f.write_str("this model fits your GPU one part at a time"),
            Self::Streamed { step_bytes } => write!(
                f,
                "this model fits your GPU with its layers streamed, which brings {} to it each step",
                gigabytes(*step_bytes)
            ),
            Self::StreamedTooSlow { step_bytes } => write!(
                f,
                "your GPU cannot hold this model, and {} would have to be brought to it each step",
                gigabytes(*step_bytes)
            ),
            Self::SoftwareAdapterAccepted => {
                f.write_str("the software WebGPU adapter was asked for")
            }
            Self::VisitorChoice => f.write_str("you chose it"),
            Self::NoPackage => f.write_str("this model has no package for browsers"),
            Self::NoWebGpu => f.write_str("this browser has no WebGPU"),
            Self::NoAdapter => f.write_str("this browser offers no WebGPU adapter"),
            Self::SoftwareAdapter => {
                f.write_str("this browser's only WebGPU adapter is a slow software one")
            }
            Self::LimitTooSmall {
                limit,
                offered,
                needed,
            } => write!(
                f,
                "this GPU's {limit} is {} MiB and the model needs {} MiB",
                offered >> 20,
                needed.div_ceil(1 << 20)
            ),
            Self::MemoryTooSmall { offered, needed } => write!(
                f,
                "this device has {} MiB of memory and the model needs {} MiB",
                offered >> 20,
                needed.div_ceil(1 << 20)
            ),
            Self::BrowserFailed { detail } => {
                write!(f, "it failed in this browser: {detail}")
            }
        }
    }
}

/// Bytes in the unit of downloads: `2.2 GB`.
fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

/// The verdict on a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Where it runs.
    pub place: Place,
    /// Why there.
    pub reason: Reason,
    /// How the model is held on the GPU, where it runs on that.
    #[serde(default)]
    pub residency: Residency,
}

impl Decision {
    /// One that says nothing of how the model is held.
    pub fn new(place: Place, reason: Reason) -> Self {
        Self {
            place,
            reason,
            residency: Residency::Kept,
        }
    }
}

/// Decides where a model runs.
///
/// `accept_software` counts a software adapter as a GPU (tests, curious visitors).
/// Under [`Policy::BrowserOnly`] the answer is never [`Place::Server`]: without a hardware GPU that
/// the model fits it is the CPU, which is far faster than a software adapter. A model whose layers have to be streamed runs here
/// under [`Policy::Auto`] where that is known to be quick, see [`crate::verdict`].
pub fn decide(
    policy: Policy,
    report: &CapabilityReport,
    demand: &Demand,
    accept_software: bool,
) -> Decision {
    if policy == Policy::PreferServer {
        return Decision::new(Place::Server, Reason::VisitorChoice);
    }
    match held(report, demand, accept_software) {
        Ok(Residency::Streamed) if !streams_here(policy, report, demand) => {
            let step_bytes = demand.step_bytes();
            Decision::new(Place::Server, Reason::StreamedTooSlow { step_bytes })
        }
        Ok(residency) => Decision {
            place: Place::BrowserGpu,
            reason: match residency {
                Residency::OnDemand => Reason::OneAtATime,
                Residency::Streamed => Reason::Streamed {
                    step_bytes: demand.step_bytes(),
                },
                Residency::Kept if report.adapter.as_ref().is_some_and(|a| a.software) => {
                    Reason::SoftwareAdapterAccepted
                }
                Residency::Kept => Reason::GpuFits,
            },
            residency,
        },
        Err(reason) => {
            let place = if policy == Policy::BrowserOnly {
                Place::BrowserCpu
            } else {
                Place::Server
            };
            Decision::new(place, reason)
        }
    }
}

/// Whether layers are streamed to this browser's GPU rather than that the picture is made elsewhere.
pub fn streams_here(policy: Policy, report: &CapabilityReport, demand: &Demand) -> bool {
    let quick = || streams_quickly(report, demand);
    demand.needs.streamed.is_some() && (policy == Policy::BrowserOnly || quick())
}

/// How the adapter holds the model, or what keeps it from that.
fn held(
    report: &CapabilityReport,
    demand: &Demand,
    accept_software: bool,
) -> Result<Residency, Reason> {
    if !report.webgpu {
        return Err(Reason::NoWebGpu);
    }
    let adapter = report.adapter.as_ref().ok_or(Reason::NoAdapter)?;
    if adapter.software && !accept_software {
        return Err(Reason::SoftwareAdapter);
    }
    let needs = &demand.needs;
    let offered = report.device_memory_bytes;
    let residency = needs
        .residency(offered)
        .map_err(|needed| Reason::MemoryTooSmall {
            offered: offered.unwrap_or_default(),
            needed,
        })?;
    let limits = [
        (
            "maxBufferSize",
            adapter.max_buffer_size,
            needs.max_buffer_size,
        ),
        (
            "maxStorageBufferBindingSize",
            adapter.max_storage_buffer_binding_size,
            needs.max_storage_buffer_binding_size,
        ),
    ];
    let small = limits
        .into_iter()
        .find(|(_, offered, needed)| offered < needed);
    match small {
        None => Ok(residency),
        Some((limit, offered, needed)) => Err(Reason::LimitTooSmall {
            limit: limit.to_owned(),
            offered,
            needed,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LowMemoryNeeds, ModelNeeds};

    const NEEDS: ModelNeeds = ModelNeeds {
        max_buffer_size: 64 << 20,
        max_storage_buffer_binding_size: 64 << 20,
        memory_bytes: 256 << 20,
        one_at_a_time: None,
        streamed: None,
    };

    fn demand(needs: ModelNeeds) -> Demand {
        Demand {
            needs,
            work: None,
            steps: 4,
        }
    }

    fn report(software: bool, mib: u64) -> CapabilityReport {
        CapabilityReport {
            webgpu: true,
            adapter: Some(AdapterReport {
                software,
                max_buffer_size: mib << 20,
                max_storage_buffer_binding_size: mib << 20,
                ..AdapterReport::default()
            }),
            ..CapabilityReport::default()
        }
    }

    fn place(policy: Policy, report: &CapabilityReport, accept_software: bool) -> Place {
        decide(policy, report, &demand(NEEDS), accept_software).place
    }

    #[test]
    fn every_case_has_its_place() {
        use Place::{BrowserCpu, BrowserGpu, Server};
        let none = CapabilityReport::default();
        let no_adapter = CapabilityReport {
            webgpu: true,
            ..CapabilityReport::default()
        };
        for (report, accept, auto, browser_only) in [
            (&none, false, Server, BrowserCpu),
            (&none, true, Server, BrowserCpu),
            (&no_adapter, false, Server, BrowserCpu),
            (&report(true, 128), false, Server, BrowserCpu),
            (&report(true, 128), true, BrowserGpu, BrowserGpu),
            (&report(false, 32), false, Server, BrowserCpu),
            (&report(false, 128), false, BrowserGpu, BrowserGpu),
        ] {
            assert_eq!(place(Policy::Auto, report, accept), auto);
            assert_eq!(place(Policy::BrowserOnly, report, accept), browser_only);
            assert_eq!(place(Policy::PreferServer, report, accept), Server);
        }
    }

    #[test]
    fn memory_counts_where_the_browser_tells_of_it() {
        let with = |gib: u64, needed_gib: u64| {
            let report = CapabilityReport {
                device_memory_bytes: Some(gib << 30),
                ..report(false, 128)
            };
            let needs = ModelNeeds {
                memory_bytes: needed_gib << 30,
                ..NEEDS
            };
            decide(Policy::Auto, &report, &demand(needs), false).place
        };
        assert_eq!(with(2, 3), Place::Server);
        assert_eq!(with(4, 3), Place::BrowserGpu);
        // 8 GiB may stand for more.
        assert_eq!(with(8, 12), Place::BrowserGpu);
        assert_eq!(with(4, 12), Place::Server);
    }

    #[test]
    fn the_reason_names_the_limit() {
        let decision = decide(Policy::Auto, &report(false, 32), &demand(NEEDS), false);
        assert_eq!(
            decision.reason.to_string(),
            "this GPU's maxBufferSize is 32 MiB and the model needs 64 MiB"
        );
    }

    /// 2 GB at each of 4 steps and 1 GB before.
    #[test]
    fn layers_are_streamed_here_where_that_is_quick_or_asked_for() {
        let needs = ModelNeeds {
            memory_bytes: 6 << 30,
            one_at_a_time: Some(LowMemoryNeeds {
                memory_bytes: 4 << 30,
                picture_bytes: 6_000_000_000,
                step_bytes: 0,
            }),
            streamed: Some(LowMemoryNeeds {
                memory_bytes: 1 << 30,
                picture_bytes: 1_000_000_000,
                step_bytes: 2_000_000_000,
            }),
            ..NEEDS
        };
        let decided = |policy, gib: u64, upload: Option<f64>| {
            let mut report = report(false, 128);
            report.device_memory_bytes = Some(gib << 30);
            if let Some(adapter) = &mut report.adapter {
                adapter.speed = Some(KernelSpeed {
                    flops_per_second: 1e12,
                    dispatch_ms: 0.0,
                    round_trip_ms: 0.0,
                    upload_bytes_per_second: upload,
                });
            }
            let decision = decide(policy, &report, &demand(needs), false);
            (decision.place, decision.residency)
        };
        use Place::{BrowserGpu, Server};
        use Residency::{Kept, OnDemand, Streamed};
        let quick = Some(1e9);
        assert_eq!(decided(Policy::Auto, 8, quick), (BrowserGpu, Kept));
        assert_eq!(decided(Policy::Auto, 4, quick), (BrowserGpu, OnDemand));
        // 9 s, 45 s, and nobody knows.
        assert_eq!(decided(Policy::Auto, 2, quick), (BrowserGpu, Streamed));
        assert_eq!(decided(Policy::Auto, 2, Some(2e8)), (Server, Kept));
        assert_eq!(decided(Policy::Auto, 2, None), (Server, Kept));
        for upload in [quick, Some(2e8), None] {
            let own = decided(Policy::BrowserOnly, 2, upload);
            assert_eq!(own, (BrowserGpu, Streamed));
        }
        let reason = Reason::StreamedTooSlow {
            step_bytes: 2_000_000_000,
        };
        assert!(reason.to_string().contains("2.0 GB"), "{reason}");
    }
}

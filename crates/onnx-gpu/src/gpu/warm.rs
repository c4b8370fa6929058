//! Pipelines made while something else is waited for.

use std::collections::HashMap;

use super::{Gpu, lock};
use crate::kernels::Launch;

/// Launches with the numbers of buffers that they bind.
pub(crate) type Wanted = Vec<(Launch, usize)>;

/// Pipelines under way; [`Warming::finish`] waits for them.
pub(crate) struct Warming {
    #[cfg(not(target_arch = "wasm32"))]
    thread: std::thread::JoinHandle<()>,
    #[cfg(target_arch = "wasm32")]
    gpu: Gpu,
    #[cfg(target_arch = "wasm32")]
    fresh: Fresh,
    #[cfg(target_arch = "wasm32")]
    caught: super::Caught,
}

type Fresh = HashMap<String, wgpu::ComputePipeline>;

impl Gpu {
    /// Starts to make the pipelines of `wanted`: on a thread of its own natively, in the GPU process of a browser.
    ///
    /// A pipeline that the driver refuses is left out; whoever needs it gets the error.
    pub(crate) fn start_pipelines(&self, wanted: Wanted) -> Warming {
        #[cfg(not(target_arch = "wasm32"))]
        {
            let gpu = self.clone();
            Warming {
                thread: std::thread::spawn(move || {
                    // One by one, so that a refused one costs no other.
                    for one in wanted {
                        let (fresh, caught) = gpu.make(&[one]);
                        if pollster::block_on(caught).is_ok() {
                            lock(&gpu.0.cache).pipelines.extend(fresh);
                        }
                    }
                }),
            }
        }
        #[cfg(target_arch = "wasm32")]
        {
            let (fresh, caught) = self.make(&wanted);
            Warming {
                gpu: self.clone(),
                fresh,
                caught,
            }
        }
    }

    fn make(&self, wanted: &[(Launch, usize)]) -> (Fresh, super::Caught) {
        let mut fresh = Fresh::new();
        let ((), caught) = self.scoped(|| {
            for (launch, bindings) in wanted {
                self.pipeline(launch, *bindings, &mut fresh);
            }
        });
        (fresh, caught)
    }
}

impl Warming {
    /// Waits until every pipeline is made or refused.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        expect(clippy::unused_async, reason = "same signature as the browser's")
    )]
    pub(crate) async fn finish(self) {
        #[cfg(not(target_arch = "wasm32"))]
        // A thread that panicked has warmed less; the pipelines are made where they are needed.
        let _ = self.thread.join();
        #[cfg(target_arch = "wasm32")]
        if self.caught.await.is_ok() {
            lock(&self.gpu.0.cache).pipelines.extend(self.fresh);
        }
    }
}

//! Wall-clock time, natively and in a browser.

#[cfg(not(target_arch = "wasm32"))]
pub(super) struct Clock(std::time::Instant);

#[cfg(not(target_arch = "wasm32"))]
impl Clock {
    pub(super) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(super) fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// Milliseconds since the epoch.
#[cfg(target_arch = "wasm32")]
pub(super) struct Clock(f64);

#[cfg(target_arch = "wasm32")]
impl Clock {
    pub(super) fn start() -> Self {
        Self(js_sys::Date::now())
    }

    pub(super) fn seconds(&self) -> f64 {
        (js_sys::Date::now() - self.0) / 1000.0
    }
}

//! What operators see: the log, `/metrics`, and traces.
//!
//! | file | what |
//! |---|---|
//! | `logging.rs` | the log on standard error, as text or JSON |
//! | `metrics.rs` | counters of this process in Prometheus' text form |
//! | `access.rs` | one line and one measurement for each HTTP request |
//! | `exposition.rs` | who may read `/metrics`, and the port of its own |
//! | `traces.rs` | spans sent to an OpenTelemetry collector, where one is named |

pub mod access;
pub mod exposition;
pub mod logging;
pub mod metrics;
pub mod traces;

pub use logging::{LogFormat, Telemetry, start};

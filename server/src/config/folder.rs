//! The models folder of a process that serves or makes pictures.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, Live};
use crate::render::hosted::config::EndpointConfig;

/// Where the packages are.
#[derive(Args, Clone, Debug)]
pub struct ModelsFolder {
    /// Folder whose subfolders are model packages.
    #[arg(long, env = "DEMO_HUB_MODELS_DIR", default_value = "models")]
    pub models_dir: PathBuf,

    /// Seconds between two looks at that folder for packages that were added, changed or removed; 0: it is read at the start
    /// alone.
    #[arg(long, env = "DEMO_HUB_MODELS_REFRESH_SECONDS", default_value_t = 5)]
    pub models_refresh_seconds: u64,
}

impl ModelsFolder {
    /// Reads the packages, and follows the folder from then on, until `stop`.
    ///
    /// # Errors
    /// When the folder cannot be read, or two of the packages and the endpoints' models have the same id.
    pub async fn open(
        &self,
        endpoints: &[EndpointConfig],
        stop: &CancellationToken,
    ) -> anyhow::Result<Live> {
        let dir = self.models_dir.clone();
        let catalog = tokio::task::spawn_blocking(move || Catalog::open(&dir))
            .await
            .context("reading the models folder")??
            .with_endpoints(endpoints)?;
        if self.models_refresh_seconds == 0 {
            return Ok(catalog.into());
        }
        let every = Duration::from_secs(self.models_refresh_seconds);
        Ok(Live::follow(
            catalog,
            self.models_dir.clone(),
            every,
            stop.clone(),
        ))
    }
}

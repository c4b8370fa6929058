//! The graphs of a package: on the engine for good, or only while they are needed.

use std::ops::Deref;

use crate::engine::{Engine, Model};
use crate::error::{Error, Result};
use crate::files::Files;
use crate::manifest::Component;
use crate::package::Package;
use crate::yielding::yield_now;

/// How long graphs stay on the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residency {
    /// All of them, for the next picture.
    Kept,
    /// One at a time.
    OnDemand,
}

pub(super) enum Parts {
    /// While a pipeline is put together.
    Unset,
    Kept {
        text_encoder: Box<dyn Model>,
        denoiser: Box<dyn Model>,
        decoder: Box<dyn Model>,
    },
    OnDemand {
        engine: Box<dyn Engine>,
        files: Box<dyn Files>,
    },
}

/// A graph that goes with the value unless the pipeline keeps it.
pub(super) enum Held<'p> {
    Kept(&'p dyn Model),
    Passing(Box<dyn Model>),
}

impl<'p> Deref for Held<'p> {
    type Target = dyn Model + 'p;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Kept(model) => *model,
            Self::Passing(model) => &**model,
        }
    }
}

impl Parts {
    pub(super) async fn kept(package: &mut Package, engine: &dyn Engine) -> Result<Self> {
        let components = package.manifest.components.clone();
        Ok(Self::Kept {
            text_encoder: load(package, engine, "text_encoder", &components.text_encoder).await?,
            denoiser: load(package, engine, "denoiser", &components.denoiser).await?,
            decoder: load(package, engine, "decoder", &components.decoder).await?,
        })
    }

    pub(super) fn residency(&self) -> Residency {
        match self {
            Self::Kept { .. } => Residency::Kept,
            Self::Unset | Self::OnDemand { .. } => Residency::OnDemand,
        }
    }

    pub(super) async fn text_encoder(&self, component: &Component) -> Result<Held<'_>> {
        match self {
            Self::Kept { text_encoder, .. } => Ok(Held::Kept(&**text_encoder)),
            _ => self.bring("text_encoder", component).await,
        }
    }

    pub(super) async fn denoiser(&self, component: &Component) -> Result<Held<'_>> {
        match self {
            Self::Kept { denoiser, .. } => Ok(Held::Kept(&**denoiser)),
            _ => self.bring("denoiser", component).await,
        }
    }

    pub(super) async fn decoder(&self, component: &Component) -> Result<Held<'_>> {
        match self {
            Self::Kept { decoder, .. } => Ok(Held::Kept(&**decoder)),
            _ => self.bring("decoder", component).await,
        }
    }

    async fn bring(&self, name: &str, component: &Component) -> Result<Held<'_>> {
        let Self::OnDemand { engine, files } = self else {
            return Err(Error::engine("the pipeline has no graphs"));
        };
        let model = engine.load_file(name, &component.file, &**files).await?;
        yield_now().await;
        Ok(Held::Passing(model))
    }
}

async fn load(
    package: &mut Package,
    engine: &dyn Engine,
    name: &str,
    component: &Component,
) -> Result<Box<dyn Model>> {
    let model = engine
        .load_file(name, &component.file, &*package.files)
        .await?;
    package.files.forget(&component.file);
    yield_now().await;
    Ok(model)
}

//! The JSON types that browser, server and worker share.
//!
//! Everything here is plain data with pure functions: no I/O, no platform code.

pub mod adding;
pub mod addresses;
pub mod capability;
pub mod catalog;
pub mod generation;
pub mod image;
pub mod job;
pub mod lora;
pub mod model;
pub mod problem;
pub mod residency;
pub mod resume;
pub mod start;
pub mod strict;
pub mod upscale;
pub mod verdict;
pub mod words;

pub use adding::{
    AddingPage, Addition, AdditionRequest, AdditionStage, AdditionStatus, ComponentWeights,
    Fetched, LookedChoice, LookedComponent, MAX_COMPONENTS, ModelLook, PackageHere, WeightsKind,
};
pub use addresses::Addresses;
pub use capability::{
    AdapterReport, CapabilityReport, Decision, KernelSpeed, Place, Policy, Reason, RunsOn, decide,
    streams_here,
};
pub use catalog::{
    Author, AuthorsFile, ComponentSize, CreatorPage, Gated, KnownModel, KnownWeights, License,
    LicenseUse, ModelCard, ModelPage, ModelQuery, PaperRecord, Prospect, Provenance, Runs,
    SamplePicture, SmallerWeights, Source, Trouble, TroubleKind, psnr,
};
pub use generation::{
    GenerationRequest, MAX_PROMPT_CHARS, MAX_SEED, PromptSyntax, RequestError, ResolvedRequest,
    Variation,
};
pub use image::{
    GalleryPage, GalleryQuery, ImageChange, ImageRecord, MAX_REPORT_COMMENT, PNG_MIME, Recipe,
    ReportReason, ReportRequest, StartOf, THUMBNAIL_MIME, THUMBNAIL_SIDE, Thumbnail, UploadRequest,
    UploadTicket, Visibility, is_sha256_hex,
};
pub use job::{ImageRef, JobCreated, JobPreview, JobStatus, JobView, Postponed, Progress};
pub use lora::{
    MAX_LORA_NAME_CHARS, MAX_LORA_WEIGHT, ModelLora, UsedLora, is_lora_name, lora_weight,
    with_lora_weight, without_lora_tags,
};
pub use model::{
    LowMemoryNeeds, ModelDefaults, ModelLimits, ModelNeeds, ModelSizes, ModelSummary, ModelWork,
    Paper, SamplerName, Work,
};
pub use problem::{LimitName, Problem, ProblemCode};
pub use residency::{Demand, Residency};
pub use resume::{JobRequest, MAX_RESUME_LATENTS, Resume, ResumeError, ResumedState};
pub use start::{
    DEFAULT_STRENGTH, INPUT_MIMES, INPUT_SECONDS, InputRequest, MAX_INPUT_BYTES, MAX_INPUT_PIXELS,
    MaskBy, PictureRef, StartRequest, steps_taken,
};
pub use upscale::{MAX_UPSCALED_SIDE, NoFactor, UpscaleFactor, UsedUpscaler};
pub use verdict::{
    BEARABLE_SECONDS, Verdict, VerdictKind, estimate_seconds, may_suit_processor, not_available,
    picture_seconds, processor_seconds, verdict,
};
pub use words::counted;

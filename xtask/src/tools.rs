//! The tools that building and testing need: how to see whether one is there, and how to get it.

pub mod apt;
pub mod cargo;
pub mod clients;
pub mod npm;
pub mod python;
pub mod rust;
pub mod s3;
pub mod wasm;

use anyhow::{Result, bail};

use crate::process::step;
use crate::workspace::Workspace;

/// What a look at the machine found.
pub enum State {
    /// It works; its version or place.
    Ready(String),
    /// It is absent or unfinished; what exactly.
    Missing(String),
}

/// Something that building or testing needs.
pub trait Tool {
    /// Short name for the table.
    fn name(&self) -> String;
    /// Which tasks need it.
    fn purpose(&self) -> &'static str;
    /// Looks whether it works.
    fn probe(&self) -> Result<State>;
    /// What [`Tool::install`] will do, in words.
    fn plan(&self) -> String;
    /// About how long that takes on two cores, in seconds.
    fn seconds(&self) -> u32;
    /// Gets it; an unfinished installation is replaced.
    fn install(&self) -> Result<()>;
}

/// Everything that is needed to compile the server.
pub fn for_server(workspace: &Workspace) -> Vec<Box<dyn Tool + '_>> {
    let mut tools: Vec<Box<dyn Tool>> = vec![Box::new(rust::Components { workspace })];
    tools.extend(apt::compiler());
    tools
}

/// What the server's tests need beyond the compiler.
pub fn for_server_tests(workspace: &Workspace) -> Vec<Box<dyn Tool + '_>> {
    let mut tools = for_server(workspace);
    tools.extend(apt::nats());
    tools.extend(apt::exiftool());
    tools.extend(apt::node());
    tools.extend(apt::python());
    tools.push(Box::new(clients::Clients { workspace }));
    tools.push(Box::new(python::Environment { workspace }));
    tools.push(Box::new(s3::OtherS3 { workspace }));
    tools
}

/// Everything that is needed to build the client.
pub fn for_client(workspace: &Workspace) -> Vec<Box<dyn Tool + '_>> {
    let mut tools = for_server(workspace);
    tools.push(Box::new(wasm::WasmTarget { workspace }));
    tools.push(Box::new(cargo::CargoTool::wasm_bindgen(workspace)));
    tools.push(Box::new(cargo::CargoTool::trunk(workspace)));
    tools.extend(apt::node());
    tools.push(Box::new(npm::Packages::tests(workspace)));
    tools
}

/// What the tests on a GPU need beyond the compiler.
pub fn for_gpu(workspace: &Workspace) -> Vec<Box<dyn Tool + '_>> {
    let mut tools = for_server(workspace);
    tools.extend(apt::vulkan());
    tools.extend(apt::python());
    tools.push(Box::new(python::Environment { workspace }));
    tools
}

/// What fuzzing needs beyond the compiler: one for C++, in which libFuzzer is written.
pub fn for_fuzzing(workspace: &Workspace) -> Vec<Box<dyn Tool + '_>> {
    let mut tools = for_server(workspace);
    tools.extend(apt::cpp());
    tools
}

/// What the tests of the training code need.
pub fn for_training(workspace: &Workspace) -> Vec<Box<dyn Tool + '_>> {
    let mut tools = apt::python();
    tools.push(Box::new(python::Environment { workspace }));
    tools.push(Box::new(python::TrainingTests { workspace }));
    tools
}

/// What the tests in a browser need.
pub fn for_browser(workspace: &Workspace) -> Vec<Box<dyn Tool + '_>> {
    let mut tools = for_client(workspace);
    tools.push(Box::new(npm::Browser { workspace }));
    tools
}

/// What the end-to-end tests need.
pub fn for_end_to_end(workspace: &Workspace) -> Vec<Box<dyn Tool + '_>> {
    let mut tools = for_browser(workspace);
    tools.extend(apt::firefox());
    tools.extend(apt::webkit());
    tools
}

/// What comparing the runtime with its peers needs.
pub fn for_bench(workspace: &Workspace) -> Vec<Box<dyn Tool + '_>> {
    let mut tools = for_browser(workspace);
    tools.push(Box::new(npm::Packages::bench(workspace)));
    add_new(&mut tools, for_gpu(workspace));
    tools
}

/// What measuring the job queue needs.
pub fn for_jobs_bench(workspace: &Workspace) -> Vec<Box<dyn Tool + '_>> {
    let mut tools = for_server(workspace);
    tools.extend(apt::nats());
    tools.extend(apt::wrk());
    tools
}

/// All tools, each once.
pub fn all(workspace: &Workspace) -> Vec<Box<dyn Tool + '_>> {
    let mut tools = for_bench(workspace);
    add_new(&mut tools, for_end_to_end(workspace));
    add_new(&mut tools, for_training(workspace));
    add_new(&mut tools, for_server_tests(workspace));
    add_new(&mut tools, for_jobs_bench(workspace));
    tools
}

/// Adds the tools that are not there yet.
fn add_new<'a>(tools: &mut Vec<Box<dyn Tool + 'a>>, more: Vec<Box<dyn Tool + 'a>>) {
    for tool in more {
        if tools.iter().all(|known| known.name() != tool.name()) {
            tools.push(tool);
        }
    }
}

/// Installs what is missing, announcing it first, and checks that it works afterwards.
pub fn ensure(tools: &[Box<dyn Tool + '_>]) -> Result<()> {
    let mut missing = Vec::new();
    for tool in tools {
        if let State::Missing(what) = tool.probe()? {
            missing.push((tool, what));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    println!("To be installed first:");
    for (tool, what) in &missing {
        println!("  {}: {what}", tool.name());
        println!(
            "    -> {} (about {})",
            tool.plan(),
            duration(tool.seconds())
        );
    }
    for (tool, _) in missing {
        if let State::Ready(_) = tool.probe()? {
            continue;
        }
        step(&format!("install {}", tool.name()), || tool.install())?;
        if let State::Missing(what) = tool.probe()? {
            bail!(
                "{} does not work after its installation: {what}",
                tool.name()
            );
        }
    }
    Ok(())
}

/// Seconds in words.
pub fn duration(seconds: u32) -> String {
    match seconds {
        0..90 => format!("{seconds} s"),
        _ => format!("{} min", seconds.div_ceil(60)),
    }
}

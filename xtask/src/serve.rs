//! `cargo xtask build` and `cargo xtask serve`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::client::{self, Profile};
use crate::process::{run, step};
use crate::tools;
use crate::workspace::Workspace;

/// Members that are not part of the product's native build.
pub const NOT_SERVER: [&str; 4] = ["--exclude", "xtask", "--exclude", "engine-page"];

/// How to serve.
#[derive(Args)]
pub struct ServeArgs {
    /// Address and port of the pages.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: String,
    /// Folder for pictures and generated keys.
    #[arg(long, default_value = "data")]
    data: PathBuf,
    /// Compile the client quickly instead of making it small: for work on the pages.
    #[arg(long)]
    dev: bool,
    /// Further arguments of `demo-hub serve`.
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Builds client and server.
pub fn build(workspace: &Workspace, release: bool) -> Result<()> {
    tools::ensure(&tools::for_client(workspace))?;
    client::build(
        workspace,
        if release {
            Profile::Release
        } else {
            Profile::Dev
        },
    )?;
    let server = server(workspace, release)?;
    println!("server: {}", server.display());
    Ok(())
}

/// Builds what is not up to date and serves until interrupted.
///
/// The server is the development build: it starts sooner from nothing, and what computes in it (rten,
/// hashing, PNG) is compiled with full optimisation in that profile too.
pub fn serve(workspace: &Workspace, args: &ServeArgs) -> Result<()> {
    tools::ensure(&tools::for_client(workspace))?;
    let server = server(workspace, false)?;
    client::build(
        workspace,
        if args.dev {
            Profile::Dev
        } else {
            Profile::Release
        },
    )?;
    println!("\nDemo Hub: http://{}\n", args.listen);
    run(Command::new(server)
        .args(["serve", "--listen", &args.listen, "--data"])
        .arg(&args.data)
        .arg("--site-dir")
        .arg(workspace.dist())
        .arg("--models-dir")
        .arg(workspace.root.join("models"))
        .args(&args.rest))
}

/// Compiles the server and the command line of the runtime; returns the server's executable.
pub fn server(workspace: &Workspace, release: bool) -> Result<PathBuf> {
    step("server: compile", || {
        let mut command = Command::new("cargo");
        command
            .args(["build", "--workspace"])
            .args(NOT_SERVER)
            .arg("--bins");
        if release {
            command.arg("--release");
        }
        run(command.current_dir(&workspace.root))
    })?;
    Ok(workspace.built(if release { "release" } else { "debug" }, "demo-hub"))
}

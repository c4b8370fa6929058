//! `demo-hub models add` as a process of its own: what it takes of memory and processors is not the server's, and it can be ended at
//! any moment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use protocol::{AdditionRequest, Problem, ProblemCode};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines, Take};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::config::{HubConfig, Secret};
use crate::models::add::report::Event;

/// What the names of this program's variables begin with.
const VARIABLES: &str = "DEMO_HUB_";
/// Variable of the hub's token: an argument could be read by everybody on the machine.
const TOKEN: &str = "DEMO_HUB_HUB_TOKEN";
/// Variables that say how many threads compute.
const THREADS: [&str; 2] = ["RAYON_NUM_THREADS", "RTEN_NUM_THREADS"];
/// Most bytes that a run may say.
const MOST_SAID: u64 = 64 << 20;

/// How models are added.
pub struct Tool {
    program: PathBuf,
    /// The models folder.
    pub models_dir: PathBuf,
    hub_url: String,
    hub_token: Option<Secret>,
}

/// What a run is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    Look,
    Add,
}

/// A run under way. It ends when this is dropped, and when this process ends.
pub(super) struct Run {
    child: Child,
    _watching: Option<ChildStdin>,
    said: Lines<BufReader<Take<ChildStdout>>>,
}

impl Tool {
    /// Over a models folder.
    ///
    /// # Errors
    /// When this program's own file is not known.
    pub fn new(models_dir: &Path, hub: &HubConfig) -> anyhow::Result<Self> {
        Ok(Self {
            program: program()?,
            models_dir: models_dir.to_owned(),
            hub_url: hub.hub_url.to_string(),
            hub_token: hub.hub_token.clone(),
        })
    }

    /// Starts a run; what it keeps for its own time goes to `scratch`.
    pub(super) fn start(
        &self,
        errand: Errand,
        request: &AdditionRequest,
        scratch: &Path,
    ) -> anyhow::Result<Run> {
        let mut command = Command::new(&self.program);
        // What this process was told by its variables is not meant for the run.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(VARIABLES) {
                command.env_remove(name);
            }
        }
        if let Some(token) = &self.hub_token {
            command.env(TOKEN, token.expose());
        }
        // Half of the processors stay with the server.
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
        for name in THREADS {
            command.env(name, (processors / 2).max(1).to_string());
        }
        command
            .env("TMPDIR", scratch)
            .args(self.arguments(errand, request))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        let watching = child.stdin.take();
        let out = child.stdout.take().context("its output")?;
        Ok(Run {
            child,
            _watching: watching,
            said: BufReader::new(out.take(MOST_SAID)).lines(),
        })
    }

    fn arguments(&self, errand: Errand, request: &AdditionRequest) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = ["models", "add", "--progress=json"]
            .map(OsString::from)
            .to_vec();
        arguments.push("--models-dir".into());
        arguments.push(self.models_dir.clone().into());
        let mut say = |name: &str, value: &str| {
            arguments.push(format!("--{name}={value}").into());
        };
        say("hub-url", &self.hub_url);
        if let Some(revision) = &request.revision {
            say("revision", revision);
        }
        if let Some(license) = &request.license {
            say("license", license);
        }
        if errand == Errand::Add {
            if request.weights != Default::default() {
                say("weights", request.weights.name());
            }
            for own in &request.component_weights {
                let (component, kind) = (&own.component, own.kind.name());
                say("weights", &format!("{component}={kind}"));
            }
            if !request.components.is_empty() {
                say("components", &request.components.join(","));
            }
        } else {
            arguments.push("--look".into());
        }
        arguments.push("--".into());
        arguments.push(request.id.clone().into());
        arguments
    }

    /// Removes what a run that was ended left of a package that it was writing.
    pub(super) async fn tidy(&self, id: &str) -> anyhow::Result<()> {
        let (dir, id) = (self.models_dir.clone(), id.to_owned());
        tokio::task::spawn_blocking(move || crate::models::add::tidy(&dir, &id)).await?
    }

    /// Removes a package.
    pub(super) async fn remove(&self, id: &str) -> Result<(), Problem> {
        let (dir, id) = (self.models_dir.clone(), id.to_owned());
        let removed = tokio::task::spawn_blocking(move || {
            crate::models::remove(&dir, &id, &mut std::io::sink())
        });
        match removed.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Problem::new(ProblemCode::Conflict, format!("{error:#}"))),
            Err(error) => {
                tracing::error!(%error, "removing a package");
                let detail = "the package could not be removed";
                Err(Problem::new(ProblemCode::Internal, detail))
            }
        }
    }
}

impl Run {
    /// What it says next; nothing once it has ended, or for a line that is no event.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let line = self.said.next_line().await.ok()??;
            match serde_json::from_str(&line) {
                Ok(event) => return Some(event),
                Err(error) => tracing::warn!(%error, "a run that adds a model said something else"),
            }
        }
    }

    /// Waits for its end: nothing where it did what it was to do, else how it ended.
    pub async fn end(mut self) -> Option<String> {
        match self.child.wait().await {
            Ok(status) if status.success() => None,
            Ok(status) => Some(match status.code() {
                Some(code) => format!("it ended with status {code}"),
                None => format!("it was ended from outside ({status}), as where memory runs out"),
            }),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Ends it.
    pub async fn kill(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(%error, "a run that adds a model could not be ended");
        }
    }
}

/// The file of this program. Tests are another one, beside which it lies.
fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("looking for this program's own file")?;
    let name = format!("demo-hub{}", std::env::consts::EXE_SUFFIX);
    let is_test = own.parent().is_some_and(|folder| folder.ends_with("deps"));
    match own.parent().and_then(Path::parent) {
        Some(folder) if is_test => Ok(folder.join(name)),
        _ => Ok(own),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use protocol::{ComponentWeights, WeightsKind};

    use super::*;

    #[test]
    fn a_run_is_told_what_was_asked_for_and_no_secret() {
        let hub = HubConfig {
            hub_url: "http://127.0.0.1:1".parse().unwrap(),
            hub_token: Some(Secret::new("hf_secret")),
        };
        let tool = Tool::new("/srv/models".as_ref(), &hub).unwrap();
        let request = AdditionRequest {
            id: "-a/b".to_owned(),
            revision: Some("-x".to_owned()),
            weights: WeightsKind::Int8,
            component_weights: vec![ComponentWeights {
                component: "text_encoder".to_owned(),
                kind: WeightsKind::Int4,
            }],
            components: vec!["unet".to_owned(), "vae".to_owned()],
            license: Some("mit".to_owned()),
        };
        let line = tool.arguments(Errand::Add, &request);
        let line = line.iter().map(|part| part.to_str().unwrap());
        let config = <crate::config::Cli as clap::Parser>::try_parse_from(
            ["demo-hub"].into_iter().chain(line.clone()),
        );
        let crate::config::Command::Models(models) = config.unwrap().command else {
            unreachable!()
        };
        let crate::config::ModelsCommand::Add(add) = models.command else {
            unreachable!()
        };
        assert_eq!(
            (&*add.source, add.revision.as_deref()),
            ("-a/b", Some("-x"))
        );
        assert_eq!(add.weights.len(), 2);
        assert_eq!(add.components, ["unet", "vae"]);
        assert!(!add.look);
        assert!(!line.into_iter().any(|part| part.contains("hf_secret")));
        assert!(
            tool.arguments(Errand::Look, &request)
                .contains(&"--look".into())
        );
    }
}

//! The thread that renderers live in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};

use diffusion::{Begun, Cancel};
use protocol::{GenerationRequest, Progress, Resume};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::RendererFactory;
use crate::render::{RenderError, Rendered, Report};

/// What the thread tells of the work in hand.
pub enum Told {
    Backend(String),
    Step(Progress),
    Preview(Progress, Vec<u8>),
    Done(Box<Result<Rendered, RenderError>>),
}

struct Order {
    request: GenerationRequest,
    begun: Option<Begun>,
    resume: Option<Resume>,
    cancel: Cancel,
    tell: UnboundedSender<Told>,
}

/// A thread with a renderer of its own.
pub struct RenderThread {
    factory: Arc<std::sync::Mutex<RendererFactory>>,
    orders: mpsc::Sender<Order>,
}

impl RenderThread {
    pub fn start(factory: RendererFactory) -> std::io::Result<Self> {
        let factory = Arc::new(std::sync::Mutex::new(factory));
        Ok(Self {
            orders: spawn(Arc::clone(&factory))?,
            factory,
        })
    }

    /// Leaves the thread, which is stuck, to itself and starts another one.
    pub fn replace(&mut self) -> std::io::Result<()> {
        self.orders = spawn(Arc::clone(&self.factory))?;
        Ok(())
    }

    /// Starts on a request; the channel closes without [`Told::Done`] when the renderer panics.
    pub fn render(
        &self,
        request: GenerationRequest,
        begun: Option<Begun>,
        resume: Option<Resume>,
        cancel: Cancel,
    ) -> UnboundedReceiver<Told> {
        let (tell, told) = unbounded_channel();
        let order = Order {
            request,
            begun,
            resume,
            cancel,
            tell,
        };
        // A thread that is gone drops the order, and with it the sender: the receiver sees the end.
        let _ = self.orders.send(order);
        told
    }
}

fn spawn(factory: Arc<std::sync::Mutex<RendererFactory>>) -> std::io::Result<mpsc::Sender<Order>> {
    let (sender, orders) = mpsc::channel::<Order>();
    std::thread::Builder::new()
        .name("renderer".to_owned())
        .spawn(move || {
            let make = || {
                let factory = factory
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                factory()
            };
            let mut renderer = make();
            while let Ok(order) = orders.recv() {
                let Order {
                    request,
                    begun,
                    resume,
                    cancel,
                    tell,
                } = order;
                let mut report = |report: Report<'_>| {
                    // The worker no longer listens to work that it has given back.
                    let _ = tell.send(match report {
                        Report::Backend(name) => Told::Backend(name.to_owned()),
                        Report::Step(progress) => Told::Step(progress),
                        Report::Preview(progress, png) => Told::Preview(progress, png),
                    });
                };
                let rendered = catch_unwind(AssertUnwindSafe(|| match (&begun, &resume) {
                    (Some(begun), resume) => {
                        renderer.begin(&request, begun, resume.as_ref(), &mut report, &cancel)
                    }
                    (None, None) => renderer.render(&request, &mut report, &cancel),
                    (None, Some(resume)) => renderer.resume(&request, resume, &mut report, &cancel),
                }));
                match rendered {
                    Ok(result) => {
                        let _ = tell.send(Told::Done(Box::new(result)));
                    }
                    Err(_) => {
                        tracing::error!("the renderer panicked; it starts afresh");
                        renderer = make();
                    }
                }
            }
        })?;
    Ok(sender)
}

//! How the hub's ports speak HTTP: every wait for a client has an end, every client a share of the connections, and
//! no answer is lost because the client was still writing.

mod admission;
mod answer;
mod body;
mod client;
mod exchange;
mod files;
mod limits;
pub mod representation;
mod socket;
mod vitals;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use body::BodyTimedOut;
pub use client::ClientAddresses;
pub use files::raise_file_limit;
pub use limits::Limits;

use admission::{Connections, Ticket};
use exchange::Exchange;
use socket::Socket;
use vitals::Vitals;

/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 4096;
/// How often a connection is looked at.
const TICK: Duration = Duration::from_millis(500);
/// Pause after a failure to accept that no room made here can cure.
const PAUSE: Duration = Duration::from_millis(100);
/// Largest head of a request, and most of a body that is read ahead, in bytes.
const BUFFER: usize = 64 << 10;
/// Requests of one HTTP/2 connection at a time.
const STREAMS: u32 = 64;
/// What an HTTP/2 client may send unread: on a stream, on a connection, in bytes.
const WINDOWS: (u32, u32) = (64 << 10, 256 << 10);
/// Unsent bytes from which a socket takes no more.
const UNSENT: u32 = 128 << 10;
/// Answer where no connection can be made room for.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Listens on `address`. Whoever comes while others are let in waits in the system's queue, which is made long: one that
/// finds it full comes again after a second.
///
/// # Errors
/// When the port is taken or not allowed.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A port of a process that has just ended can be taken again; on Windows that is so anyway.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `router` on `listener` until `stop` is cancelled and the requests in hand have been answered. A client that
/// does not take its answer is waited for a moment only then. Dropping the future ends all connections.
///
/// Requests carry the peer's address as [`axum::extract::ConnectInfo`].
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let connections = Arc::new(Connections::new(
        files::within(limits.connections),
        limits.connections_per_address,
    ));
    let tasks = TaskTracker::new();
    let end = CancellationToken::new();
    let _ends_all = end.clone().drop_guard();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let vitals = Arc::new(Vitals::new(limits));
                match connections.admit(peer.ip(), &vitals) {
                    Some(ticket) => {
                        let connection = connection(
                            stream,
                            peer,
                            router.clone(),
                            limits,
                            vitals,
                            ticket,
                            stop.clone(),
                        );
                        tasks.spawn(end.clone().run_until_cancelled_owned(connection));
                    }
                    None => {
                        tracing::debug!(%peer, "no room for another connection");
                        refuse(stream);
                    }
                }
            }
            // The client has left again.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                connections.evict_one();
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Tells a client that there is no room. It is not waited for: what its socket does not take, it does not get.
fn refuse(stream: TcpStream) {
    let told = stream
        .into_std()
        .and_then(|mut stream| io::Write::write_all(&mut stream, FULL));
    if let Err(error) = told {
        tracing::debug!(%error, "a refusal was not read");
    }
}

/// One connection from its first byte to its last.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    vitals: Arc<Vitals>,
    ticket: Ticket,
    stop: CancellationToken,
) {
    if let Err(error) = prepare(&stream, &limits) {
        tracing::debug!(%peer, %error, "socket options");
    }
    let exchange = Exchange::new(router, peer, limits, Arc::clone(&vitals));
    let builder = builder();
    let mut http = std::pin::pin!(builder.serve_connection(
        TokioIo::new(Socket::new(stream, Arc::clone(&vitals))),
        TowerToHyperService::new(exchange),
    ));
    let mut tick = tokio::time::interval_at(Instant::now() + TICK, TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = http.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "a connection broke off");
                }
                return;
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                vitals.stop();
                http.as_mut().graceful_shutdown();
            }
            () = ticket.evicted() => {
                tracing::debug!(%peer, "a waiting connection made room for another");
                return;
            }
            now = tick.tick() => if let Some(overdue) = vitals.overdue(now) {
                tracing::debug!(%peer, ?overdue, "a connection was ended");
                return;
            },
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // `Vitals` tells a head that is not finished from a connection that is kept for later.
        .header_read_timeout(None)
        .max_buf_size(BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_send_buf_size(BUFFER)
        .max_header_list_size(BUFFER as u32)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Small pieces go at once, what a slow client has not taken stays small, and one that is gone is noticed.
fn prepare(stream: &TcpStream, limits: &Limits) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    let alive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15));
    socket.set_tcp_keepalive(&alive)?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_notsent_lowat(UNSENT)?;
        socket.set_tcp_user_timeout(Some(limits.write))?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (limits, UNSENT);
    Ok(())
}

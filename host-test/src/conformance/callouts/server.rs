//! A gRPC server whose methods do what their names say.

use crate::background::Background;
use anyhow::Result;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Request, Response,
    body::{Body, Frame, Incoming},
    header::HeaderValue,
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    task::JoinSet,
};

/// A running server; it stops when dropped.
#[derive(Debug)]
pub(in crate::conformance) struct Server {
    /// Where it listens.
    pub(in crate::conformance) address: SocketAddr,
    _background: Background,
}

impl Server {
    /// Starts on any free local port.
    ///
    /// # Errors
    /// When it cannot listen.
    pub(in crate::conformance) fn start() -> Result<Server> {
        let listener = StdListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let background = Background::start("grpc", move || serve(listener))?;
        Ok(Server { address, _background: background })
    }
}

async fn serve(listener: StdListener) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(connection(stream));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream) {
    let cut = Arc::new(Notify::new());
    let service = service_fn(|request| answer(request, cut.clone()));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    tokio::select! {
        // A proxy that goes is none of the server's business.
        _ = builder.auto_date_header(false).serve_connection(TokioIo::new(stream), service) => {}
        () = cut.notified() => {}
    }
}

type Sender = mpsc::UnboundedSender<io::Result<Frame<Bytes>>>;

/// Frames as they come; an error resets the stream.
struct Frames(mpsc::UnboundedReceiver<io::Result<Frame<Bytes>>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_closed() && self.0.is_empty()
    }
}

async fn answer(request: Request<Incoming>, cut: Arc<Notify>) -> io::Result<Response<Frames>> {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let mut incoming = Messages { body: request.into_body(), bytes: BytesMut::new() };
    let first = if method == "echo" { None } else { incoming.next().await };
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut response = Response::builder().header("content-type", "application/grpc");
    if !matches!(method.as_str(), "echo" | "half") {
        response = response.header("x-a", "initial");
    }
    match method.as_str() {
        "drop" => {
            cut.notify_one();
            std::future::pending().await
        }
        "hang" => std::future::pending().await,
        "http" => response = response.status(503),
        "fail" => response = response.header("grpc-status", "5").header("grpc-message", "none"),
        "echo" => {
            tokio::spawn(async move {
                while let Some(message) = incoming.next().await {
                    send(&sender, &message);
                }
                end(&sender, &[("grpc-status", "0")]);
            });
        }
        "half" => {
            // Of a message that would be longer.
            let _ = sender.send(Ok(Frame::data(Bytes::from_static(&[0, 0, 0, 0, 9, b'h']))));
            tokio::spawn(async move {
                // Once that has been sent, by another task of this thread.
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                cut.notify_one();
                drop(sender);
            });
        }
        "text" => {
            response = response.status(503);
            let _ = sender.send(Ok(Frame::data(Bytes::from_static(b"text"))));
        }
        _ => {
            let messages = match method.as_str() {
                "mute" => 0,
                "both" => 2,
                _ => 1,
            };
            for _ in 0..messages {
                send(&sender, b"pong");
            }
            match method.as_str() {
                "late" => end(&sender, &[("grpc-status", "7"), ("x-a", "trailing")]),
                _ => end(&sender, &[("grpc-status", "0"), ("x-a", "trailing")]),
            }
        }
    }
    drop(first);
    response.body(Frames(receiver)).map_err(io::Error::other)
}

/// Nobody may be there any more: then there is nobody to send to.
fn send(to: &Sender, message: &[u8]) {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    bytes.put(message);
    let _ = to.send(Ok(Frame::data(bytes.freeze())));
}

fn end(to: &Sender, pairs: &[(&'static str, &'static str)]) {
    let mut trailers = HeaderMap::new();
    for (name, value) in pairs {
        trailers.insert(*name, HeaderValue::from_static(value));
    }
    let _ = to.send(Ok(Frame::trailers(trailers)));
}

/// The messages of a request.
struct Messages {
    body: Incoming,
    bytes: BytesMut,
}

impl Messages {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(head) = self.bytes.first_chunk::<5>() {
                let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
                if self.bytes.len() >= 5 + length {
                    self.bytes.advance(5);
                    return Some(self.bytes.split_to(length).freeze());
                }
            }
            let frame = self.body.frame().await?.ok()?;
            self.bytes.extend(frame.into_data().unwrap_or_default());
        }
    }
}

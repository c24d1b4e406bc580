//! Upstreams that keep what they get as it comes.

use crate::{
    background::Background,
    changes::Watched,
    conformance::{UPSTREAM_BODY, UPSTREAM_HEADERS, UPSTREAM_TRAILERS, callouts::server},
    message::{Message, message},
};
use anyhow::Result;
use std::{
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// All upstreams. Those of HTTP and TCP are on one thread: what one of them has to do is done before another does what came
/// later.
#[derive(Debug)]
pub(in crate::conformance) struct Servers {
    /// Answers each request of HTTP/1.1 with the same.
    pub(in crate::conformance) web: Server,
    /// Answers the first bytes of a connection, then closes it when it is told to.
    pub(in crate::conformance) plain: Server,
    /// Never answers.
    pub(in crate::conformance) silent: Server,
    /// Speaks gRPC.
    pub(in crate::conformance) grpc: server::Server,
    _background: Background,
}

/// One of them.
#[derive(Clone, Debug)]
pub(in crate::conformance) struct Server {
    kind: Kind,
    /// Where it listens.
    pub(in crate::conformance) address: SocketAddr,
    /// The messages that came, whole or not.
    pub(in crate::conformance) seen: Arc<Watched<Vec<Vec<u8>>>>,
    /// How many connections are to be closed, the first ones first: of the kind that waits for it.
    pub(in crate::conformance) released: Arc<Watched<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Web,
    Plain,
    Silent,
}

impl Servers {
    /// Starts them on any free local ports.
    ///
    /// # Errors
    /// When they cannot listen.
    pub(in crate::conformance) fn start() -> Result<Servers> {
        let (web, web_listener) = Server::bind(Kind::Web)?;
        let (plain, plain_listener) = Server::bind(Kind::Plain)?;
        let (silent, silent_listener) = Server::bind(Kind::Silent)?;
        let pairs = [(web.clone(), web_listener), (plain.clone(), plain_listener), (silent.clone(), silent_listener)];
        let background = Background::start("conformance", || async {
            let mut servers = JoinSet::new();
            for (server, listener) in pairs {
                servers.spawn(server.serve(listener));
            }
            while servers.join_next().await.is_some() {}
        })?;
        Ok(Servers { web, plain, silent, grpc: server::Server::start()?, _background: background })
    }
}

impl Server {
    fn bind(kind: Kind) -> Result<(Server, StdListener)> {
        let listener = StdListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (seen, released) = (Arc::new(Watched::new(Vec::new())), Arc::new(Watched::new(0)));
        Ok((Server { kind, address, seen, released }, listener))
    }

    async fn serve(self, listener: StdListener) {
        let Ok(listener) = TcpListener::from_std(listener) else { return };
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(self.clone().answer(stream));
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn answer(self, mut stream: TcpStream) {
        let (mut current, mut buffer) = (None, [0; 4096]);
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            let mut new = &buffer[..count];
            while !new.is_empty() {
                let (number, is_request, rest) = self.keep(&mut current, new);
                let answer = match self.kind {
                    Kind::Web if is_request => {
                        message("HTTP/1.1 200 OK", &UPSTREAM_HEADERS, UPSTREAM_BODY, &UPSTREAM_TRAILERS)
                    }
                    Kind::Plain => UPSTREAM_BODY.as_bytes().to_vec(),
                    Kind::Web | Kind::Silent => Vec::new(),
                };
                // A proxy that is gone is none of the upstream's business.
                let _ = stream.write_all(&answer).await;
                if self.kind == Kind::Plain {
                    return self.released.reach(|released| (*released > number).then_some(())).await;
                }
                new = &new[new.len() - rest..];
            }
        }
    }

    /// Adds bytes to the message that came last on their connection, if that is not whole yet: gives its number, whether
    /// it is now a whole request, and how many bytes are left for the next message.
    fn keep(&self, current: &mut Option<usize>, bytes: &[u8]) -> (usize, bool, usize) {
        self.seen.change(|seen| {
            let number = *current.get_or_insert(seen.len());
            if number == seen.len() {
                seen.push(Vec::new());
            }
            let kept = &mut seen[number];
            kept.extend(bytes);
            let Message { first, length: Some(length), .. } = Message::read(kept) else { return (number, false, 0) };
            *current = None;
            let rest = kept.len() - length;
            kept.truncate(length);
            (number, first.ends_with(" HTTP/1.1"), rest)
        })
    }
}

//! Plain TCP: a server that greets and echoes, and a client that speaks for any peer to any destination.

use crate::{PATIENCE, background::Background, changes::Watched, client::connect};
use anyhow::{Context, Result};
use std::{
    net::{IpAddr, SocketAddr, TcpListener as StdListener},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
    time::timeout,
};

/// A connection as the server has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// How many bytes came so far.
    pub received: usize,
    /// Whether it is over.
    pub ended: bool,
}

/// A running server, which says its greeting to everyone and then sends back what it gets; it stops when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    accepted: Arc<Watched<Vec<Accepted>>>,
    _background: Background,
}

impl Server {
    /// Starts on any free local port. An empty greeting leaves the first word to the client.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(greeting: &'static [u8]) -> Result<Server> {
        Server::start_at(([127, 0, 0, 1], 0).into(), greeting)
    }

    /// Starts at this address.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub fn start_at(address: SocketAddr, greeting: &'static [u8]) -> Result<Server> {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let accepted = Arc::new(Watched::new(Vec::new()));
        let background = Background::start("server", {
            let accepted = accepted.clone();
            move || serve(listener, greeting, accepted)
        })?;
        Ok(Server { address, accepted, _background: background })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connections so far, in the order in which they came.
    pub fn accepted(&self) -> Vec<Accepted> {
        self.accepted.read(Clone::clone)
    }

    /// Waits until so many connections came and are over.
    ///
    /// # Errors
    /// When there were fewer within [`crate::PATIENCE`].
    pub async fn wait_for_ended(&self, count: usize) -> Result<Vec<Accepted>> {
        let ended = |all: &Vec<Accepted>| all.iter().filter(|one| one.ended).count();
        let reached = |all: &Vec<Accepted>| (ended(all) >= count).then(|| all.clone());
        self.accepted.reach_soon(&format!("{count} ended connections"), reached, |all| format!("{all:?}")).await
    }
}

async fn serve(listener: StdListener, greeting: &'static [u8], accepted: Arc<Watched<Vec<Accepted>>>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return eprintln!("the server cannot listen: {error}"),
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            arrived = listener.accept() => {
                let Ok((stream, _)) = arrived else { continue };
                let index = accepted.change(|all| {
                    all.push(Accepted::default());
                    all.len() - 1
                });
                let accepted = accepted.clone();
                connections.spawn(async move {
                    let change = |change: &dyn Fn(&mut Accepted)| accepted.change(|all| {
                        if let Some(one) = all.get_mut(index) {
                            change(one);
                        }
                    });
                    // A client that leaves early is none of the server's business.
                    let _ = echo(stream, greeting, |more| change(&|one| one.received += more)).await;
                    change(&|one| one.ended = true);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn echo(mut stream: TcpStream, greeting: &[u8], received: impl Fn(usize)) -> Result<()> {
    stream.write_all(greeting).await?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        received(count);
        stream.write_all(buffer.get(..count).unwrap_or_default()).await?;
    }
}

/// A client's connection.
#[derive(Debug)]
pub struct Client {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
}

impl Client {
    /// Connects for this peer, by a PROXY protocol header that names the proxy itself as the destination.
    ///
    /// # Errors
    /// When the proxy cannot be reached.
    pub async fn from(peer: IpAddr, to: SocketAddr) -> Result<Client> {
        Ok(Client::of(connect(to, Some((peer, None))).await?))
    }

    /// Connects to this destination, by a PROXY protocol header that names it.
    ///
    /// # Errors
    /// When the proxy cannot be reached.
    pub async fn toward(destination: SocketAddr, to: SocketAddr) -> Result<Client> {
        let own: IpAddr =
            if destination.is_ipv4() { [10, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        Ok(Client::of(connect(to, Some((own, Some(destination)))).await?))
    }

    /// Connects for this peer to this destination, by a PROXY protocol header that names both.
    ///
    /// # Errors
    /// When the proxy cannot be reached.
    pub async fn between(peer: IpAddr, destination: SocketAddr, to: SocketAddr) -> Result<Client> {
        Ok(Client::of(connect(to, Some((peer, Some(destination)))).await?))
    }

    /// Connects without a PROXY protocol header.
    ///
    /// # Errors
    /// When the proxy cannot be reached.
    pub async fn plain(to: SocketAddr) -> Result<Client> {
        Ok(Client::of(connect(to, None).await?))
    }

    /// Connects from this address of this machine.
    ///
    /// # Errors
    /// When the address is not this machine's, or nobody listens there.
    pub async fn bound(from: IpAddr, to: SocketAddr) -> Result<Client> {
        let socket = if from.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind((from, 0).into())?;
        Ok(Client::of(socket.connect(to).await?))
    }

    fn of(stream: TcpStream) -> Client {
        let (read, write) = stream.into_split();
        Client { read, write }
    }

    /// Sends all of these bytes.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(timeout(PATIENCE, self.write.write_all(bytes)).await??)
    }

    /// Reads exactly so many bytes.
    ///
    /// # Errors
    /// When the connection is closed before.
    pub async fn read(&mut self, bytes: usize) -> Result<Vec<u8>> {
        let mut buffer = vec![0; bytes];
        timeout(PATIENCE, self.read.read_exact(&mut buffer)).await??;
        Ok(buffer)
    }

    /// Sends these bytes, and reads as many at the same time: neither side has to buffer them all.
    ///
    /// # Errors
    /// When the connection is closed before.
    pub async fn exchange(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        let Client { read, write } = self;
        let mut answer = vec![0; bytes.len()];
        let both = async { tokio::try_join!(write.write_all(bytes), read.read_exact(&mut answer)) };
        timeout(PATIENCE, both).await??;
        Ok(answer)
    }

    /// Waits until the other side closes, and gives what came until then. A reset is a way to close.
    ///
    /// # Errors
    /// When it has not closed within [`PATIENCE`].
    pub async fn closed(&mut self) -> Result<Vec<u8>> {
        let mut rest = Vec::new();
        // What was read before an error is in `rest`.
        let _ = timeout(PATIENCE, self.read.read_to_end(&mut rest)).await.context("it was not closed")?;
        Ok(rest)
    }
}

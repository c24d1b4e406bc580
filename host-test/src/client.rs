//! Clients that speak to a proxy for any peer: HTTP/1.1, HTTP/2 without TLS, and raw bytes.

use crate::upstream::Seen;
use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::Incoming,
    client::conn::{http1, http2},
    header::{HeaderName, HeaderValue},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

/// A request in the making.
#[derive(Clone, Debug)]
pub struct Ask {
    to: SocketAddr,
    peer: Option<IpAddr>,
    destination: Option<SocketAddr>,
    http2: bool,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Ask {
    /// A `GET /` to the proxy at `to`. With a peer, the connection begins with a PROXY protocol header that names it.
    pub fn new(to: SocketAddr, peer: Option<IpAddr>) -> Ask {
        Ask {
            to,
            peer,
            destination: None,
            http2: false,
            method: Method::GET,
            path: "/".into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// The same on a connection to this destination, which the PROXY protocol header names.
    pub fn toward(self, destination: SocketAddr) -> Ask {
        Ask { destination: Some(destination), ..self }
    }

    /// The same by another method.
    pub fn method(self, method: Method) -> Ask {
        Ask { method, ..self }
    }

    /// The same over HTTP/2.
    pub fn http2(self) -> Ask {
        Ask { http2: true, ..self }
    }

    /// The same for another path.
    pub fn path(self, path: &str) -> Ask {
        Ask { path: path.into(), ..self }
    }

    /// The same with one more header.
    ///
    /// # Panics
    /// When the name or the value cannot be sent.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Ask {
        let name: HeaderName = name.parse().expect("a header name");
        self.headers.append(name, HeaderValue::from_bytes(value.as_ref()).expect("a header value"));
        self
    }

    /// The same as a POST with this body.
    pub fn post(self, body: impl Into<Bytes>) -> Ask {
        Ask { method: Method::POST, body: body.into(), ..self }
    }

    /// Sends the request on a connection of its own and reads the whole answer. Dropping the future closes the
    /// connection.
    ///
    /// # Errors
    /// When the proxy cannot be reached, or closes before the answer is whole.
    pub async fn send(self) -> Result<Reply> {
        let peer = self.peer.map(|peer| (peer, self.destination));
        let stream = TokioIo::new(connect(self.to, peer).await?);
        let request = self.request()?;
        if self.http2 {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            exchange(connection, async { Reply::read(sender.send_request(request).await?).await }).await
        } else {
            let (mut sender, connection) = http1::handshake(stream).await?;
            exchange(connection, async { Reply::read(sender.send_request(request).await?).await }).await
        }
    }

    fn request(&self) -> Result<Request<Full<Bytes>>> {
        let uri = if self.http2 { format!("http://proxy.test{}", self.path) } else { self.path.clone() };
        let mut request = Request::builder().method(self.method.clone()).uri(uri).body(Full::new(self.body.clone()))?;
        *request.headers_mut() = self.headers.clone();
        if !self.http2 {
            request.headers_mut().entry("host").or_insert(HeaderValue::from_static("proxy.test"));
        }
        Ok(request)
    }
}

/// Drives the connection for as long as the exchange takes.
async fn exchange<E: Into<anyhow::Error>>(
    connection: impl Future<Output = Result<(), E>>,
    exchange: impl Future<Output = Result<Reply>>,
) -> Result<Reply> {
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        reply = &mut exchange => reply,
        ended = connection => {
            // The answer may have been read whole just before the connection ended.
            match ended {
                Ok(()) => exchange.await,
                Err(error) => Err(error.into()),
            }
        }
    }
}

/// An open HTTP/2 connection of one peer, for several requests at once.
#[derive(Debug)]
pub struct Http2 {
    sender: http2::SendRequest<Full<Bytes>>,
    connection: JoinHandle<()>,
}

impl Http2 {
    /// Connects.
    ///
    /// # Errors
    /// When the proxy cannot be reached.
    pub async fn connect(to: SocketAddr, peer: Option<IpAddr>) -> Result<Http2> {
        let stream = TokioIo::new(connect(to, peer.map(|peer| (peer, None))).await?);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        let connection = tokio::spawn(async move {
            // Its errors reach whoever waits for an answer.
            let _ = connection.await;
        });
        Ok(Http2 { sender, connection })
    }

    /// Sends a request as a stream of this connection; dropping the future resets the stream.
    ///
    /// # Errors
    /// When the stream or the connection ends before the answer is whole.
    pub async fn send(&self, ask: Ask) -> Result<Reply> {
        let request = ask.http2().request()?;
        let mut sender = self.sender.clone();
        sender.ready().await?;
        Reply::read(sender.send_request(request).await?).await
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    async fn read(response: hyper::Response<Incoming>) -> Result<Reply> {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.context("the answer was not whole")?.to_bytes();
        Ok(Reply { status: parts.status, headers: parts.headers, body })
    }

    /// The first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The request as the upstream got it.
    ///
    /// # Errors
    /// When the answer is not the upstream's.
    pub fn upstream(&self) -> Result<Seen> {
        Seen::from_answer(&self.body)
            .ok_or_else(|| anyhow!("not the upstream's answer: {} {}", self.status, self.text()))
    }
}

/// Sends bytes as they are and reads until the proxy closes.
///
/// # Errors
/// When the proxy cannot be reached or the connection fails.
pub async fn raw(to: SocketAddr, peer: Option<IpAddr>, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = connect(to, peer.map(|peer| (peer, None))).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Connects, and names the peer, and the destination if it is to be another than the proxy, by a PROXY protocol header
/// (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>, version 1).
pub(crate) async fn connect(to: SocketAddr, peer: Option<(IpAddr, Option<SocketAddr>)>) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(to).await.with_context(|| format!("cannot connect to {to}"))?;
    stream.set_nodelay(true)?;
    if let Some((peer, destination)) = peer {
        let (family, own): (_, IpAddr) =
            if peer.is_ipv4() { ("TCP4", Ipv4Addr::LOCALHOST.into()) } else { ("TCP6", Ipv6Addr::LOCALHOST.into()) };
        let own = destination.unwrap_or((own, to.port()).into());
        stream.write_all(format!("PROXY {family} {peer} {} 50000 {}\r\n", own.ip(), own.port()).as_bytes()).await?;
    }
    Ok(stream)
}

//! Messages of HTTP/1.1, as clients and upstreams here send and read them: with trailers, and whole or not.

/// The bytes of a message whose body comes in chunks.
pub(crate) fn message(first: &str, headers: &[(&str, &str)], body: &str, trailers: &[(&str, &str)]) -> Vec<u8> {
    let list =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>();
    let (headers, trailers) = (list(headers), list(trailers));
    let size = body.len();
    let head = format!("{first}\r\n{headers}te: trailers\r\ntrailer: x-t\r\ntransfer-encoding: chunked\r\n\r\n");
    format!("{head}{size:x}\r\n{body}\r\n0\r\n{trailers}\r\n").into_bytes()
}

/// A message in its parts, as many as there are.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub(crate) first: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// How many bytes it has, if it is whole.
    pub(crate) length: Option<usize>,
    /// Whether something is in it that does not belong there.
    pub(crate) garbled: bool,
}

impl Message {
    /// Reads the first of these messages.
    pub(crate) fn read(bytes: &[u8]) -> Message {
        let mut message = Message::default();
        let mut reader = Reader { bytes, at: 0 };
        message.length = message.fill(&mut reader).map(|()| reader.at);
        message
    }

    fn fill(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        reader.bytes.windows(4).find(|end| end == b"\r\n\r\n")?;
        self.first = reader.line()?;
        self.headers = reader.pairs()?;
        let header = |name: &str| self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        if header("transfer-encoding") == Some("chunked") {
            loop {
                let Ok(size) = usize::from_str_radix(&reader.line()?, 16) else {
                    self.garbled = true;
                    return None;
                };
                if size == 0 {
                    break;
                }
                self.body.extend(reader.take(size)?);
                reader.line()?;
            }
            self.trailers = reader.pairs()?;
        } else if let Some(length) = header("content-length") {
            self.body = reader.take(length.parse().ok()?)?.to_vec();
        } else if self.first.starts_with("HTTP/") {
            // Up to the end of the connection.
            self.body = reader.take(reader.bytes.len() - reader.at)?.to_vec();
        }
        Some(())
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn line(&mut self) -> Option<String> {
        let length = self.bytes.get(self.at..)?.windows(2).position(|end| end == b"\r\n")?;
        let line = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(2)?;
        Some(line)
    }

    /// Lines of names and values up to an empty line.
    fn pairs(&mut self) -> Option<Vec<(String, String)>> {
        let mut pairs = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Some(pairs);
            }
            let (name, value) = line.split_once(": ")?;
            pairs.push((name.to_owned(), value.to_owned()));
        }
    }
}

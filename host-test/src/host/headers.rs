//! Header maps as Envoy keeps them, and the form in which they cross into a module.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names of which Envoy keeps one value: a second one is appended to the first, after a comma.
/// From the inline headers of <https://github.com/envoyproxy/envoy/blob/main/envoy/http/header_map.h>.
const INLINE: [&str; 36] = [
    ":authority",
    ":method",
    ":path",
    ":protocol",
    ":scheme",
    ":status",
    "accept",
    "accept-encoding",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "etag",
    "expect",
    "grpc-accept-encoding",
    "grpc-message",
    "grpc-status",
    "grpc-timeout",
    "keep-alive",
    "location",
    "origin",
    "proxy-connection",
    "referer",
    "server",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-envoy-upstream-service-time",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
];

/// An ordered multimap of names, in lower case, and values. Both are bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderMap(Vec<(Vec<u8>, Vec<u8>)>);

impl HeaderMap {
    /// The first value of this name, in whatever case it is asked for.
    pub fn first(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let name = name.as_ref();
        self.0.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }

    /// All values of this name.
    pub fn all(&self, name: impl AsRef<[u8]>) -> impl Iterator<Item = &[u8]> {
        let name = name.as_ref().to_ascii_lowercase();
        self.0.iter().filter(move |(other, _)| *other == name).map(|(_, value)| value.as_slice())
    }

    /// Adds a value, beside those of the same name that are there or, for the names of which Envoy keeps one, to it.
    pub fn add(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let name = canonical(name.as_ref());
        let value = value.as_ref();
        let inline = INLINE.iter().any(|inline| inline.as_bytes() == name);
        if inline && let Some((_, old)) = self.0.iter_mut().find(|(other, _)| *other == name) {
            old.push(b',');
            old.extend_from_slice(value);
            return;
        }
        // Pseudo-headers stay in front of all others.
        let place = match name.first() {
            Some(b':') => self.0.iter().position(|(other, _)| other.first() != Some(&b':')).unwrap_or(self.0.len()),
            _ => self.0.len(),
        };
        self.0.insert(place, (name, value.to_vec()));
    }

    /// Puts one value in the place of all of this name.
    pub fn replace(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.remove(name.as_ref());
        self.add(name, value);
    }

    /// Removes all values of this name; tells how many there were.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) -> usize {
        let name = canonical(name.as_ref());
        let before = self.0.len();
        self.0.retain(|(other, _)| *other != name);
        before - self.0.len()
    }

    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of all names and values.
    pub fn byte_size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// The pairs in the ABI's form: their number, the lengths of each, then names and values, each ended by NUL.
    pub fn to_bytes(&self) -> Vec<u8> {
        pairs(&self.0)
    }

    /// Reads the ABI's form. What is cut short or says more than it holds is no map at all, as in Envoy, and neither is
    /// one of more than 1,024 pairs or 1 MiB.
    pub fn from_bytes(bytes: &[u8]) -> HeaderMap {
        read_pairs(bytes).unwrap_or_default().into_iter().collect()
    }
}

/// `host` is another name for `:authority`.
fn canonical(name: &[u8]) -> Vec<u8> {
    let name = name.to_ascii_lowercase();
    if name == b"host" { b":authority".to_vec() } else { name }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for HeaderMap {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(pairs: T) -> HeaderMap {
        let mut map = HeaderMap::default();
        for (name, value) in pairs {
            map.add(name, value);
        }
        map
    }
}

/// Pairs in the ABI's form; used for lists and maps of properties as well.
pub(crate) fn pairs(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = u32::try_from(pairs.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    for (name, value) in pairs {
        bytes.extend_from_slice(&length(name));
        bytes.extend_from_slice(&length(value));
    }
    for (name, value) in pairs {
        for part in [name, value] {
            bytes.extend_from_slice(part);
            bytes.push(0);
        }
    }
    bytes
}

const MOST_PAIRS: usize = 1024;
const MOST_BYTES: usize = 1024 * 1024;

fn read_pairs(bytes: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let number = |at: usize| {
        let bytes = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    let count = number(0)?;
    if count > MOST_PAIRS || bytes.len() > MOST_BYTES {
        return None;
    }
    let mut at = 4 + count * 8;
    let mut take = |length: usize| {
        let part = bytes.get(at..at.checked_add(length)?)?.to_vec();
        // Each part is ended by a NUL, which must be there.
        (*bytes.get(at + length)? == 0).then_some(())?;
        at += length + 1;
        Some(part)
    };
    let mut pairs = Vec::with_capacity(count);
    for index in 0..count {
        let (name, value) = (number(4 + index * 8)?, number(8 + index * 8)?);
        pairs.push((take(name)?, take(value)?));
    }
    // What is left over makes all of it worthless.
    (at == bytes.len()).then_some(pairs)
}

impl Serialize for HeaderMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        serializer.collect_seq(self.iter().map(|(name, value)| (text(name), text(value))))
    }
}

impl<'de> Deserialize<'de> for HeaderMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HeaderMap, D::Error> {
        let pairs = Vec::<(String, String)>::deserialize(deserializer)?;
        Ok(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_and_pseudo_headers_come_first() {
        let map: HeaderMap =
            [("X-One", "1"), (":path", "/"), ("x-one", "2"), ("Host", "example.com")].into_iter().collect();
        let all: Vec<_> = map.iter().map(|(name, value)| (String::from_utf8_lossy(name), value)).collect();
        let expected = [(":path", "/"), (":authority", "example.com"), ("x-one", "1"), ("x-one", "2")];
        assert_eq!(all, expected.map(|(name, value)| (name.into(), value.as_bytes())));
    }

    #[test]
    fn a_second_value_of_an_inline_header_is_appended_to_the_first() {
        let map: HeaderMap = [("accept", "a"), ("accept", "b"), ("x", "a"), ("x", "b")].into_iter().collect();
        assert_eq!(map.first("Accept"), Some(&b"a,b"[..]));
        assert_eq!(map.all("x").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(map.len(), 3);
    }

    #[test]
    fn replacing_leaves_one_value_and_removing_none() {
        let mut map: HeaderMap = [("x", "a"), ("x", "b"), ("y", "c")].into_iter().collect();
        map.replace("X", "d");
        assert_eq!(map.all("x").collect::<Vec<_>>(), [b"d"]);
        assert_eq!(map.remove("x"), 1);
        assert_eq!(map.len(), 1);
    }

    #[test]
    fn pairs_survive_the_way_there_and_back_and_broken_ones_are_no_map() {
        let map: HeaderMap = [(&b"a"[..], &b"\xff\x00"[..]), (b"bb", b"")].into_iter().collect();
        let bytes = map.to_bytes();
        assert_eq!(HeaderMap::from_bytes(&bytes), map);
        for length in 0..bytes.len() {
            assert!(HeaderMap::from_bytes(&bytes[..length]).is_empty(), "{length}");
        }
        let many = vec![(b"a".to_vec(), Vec::new()); MOST_PAIRS + 1];
        assert!(HeaderMap::from_bytes(&pairs(&many)).is_empty());
    }
}

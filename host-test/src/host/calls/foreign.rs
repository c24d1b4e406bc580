//! The proxy's own functions, by name.

use super::Answer;
use crate::host::{abi::Status, call::Call, context::Kind};
use flate2::{
    Compression,
    read::{ZlibDecoder, ZlibEncoder},
};
use std::io::Read;

/// Which of Envoy's functions there are here. `sign`, `verify_signature` and `expr_*` are not.
pub(crate) fn call(call: &mut Call<'_>) -> Answer {
    let (name, argument) = (call.bytes(0, 1)?, call.bytes(2, 3)?);
    let mut answer = Vec::new();
    let outcome = match name.as_slice() {
        b"compress" => read(ZlibEncoder::new(argument.as_slice(), Compression::default()), &mut answer),
        b"uncompress" => read(ZlibDecoder::new(argument.as_slice()), &mut answer),
        b"clear_route_cache" => Ok(()),
        b"declare_property" => declare_property(call, &argument),
        b"set_envoy_filter_state" => set_filter_state(call, &argument),
        _ => return Err(Status::NotFound),
    };
    // The places for the answer are written whatever comes, unless the module wants none.
    let length = u32::try_from(answer.len()).map_err(|_| Status::SerializationFailure)?;
    let place = if answer.is_empty() { 0 } else { call.allocate(&answer)? };
    for (index, value) in [(4, place), (5, length)] {
        if call.arg(index) != 0 {
            call.put(index, value)?;
        }
    }
    outcome
}

/// Reads all there is, or leaves nothing: what is no zlib stream, or not all of one, has no answer.
fn read(mut from: impl Read, answer: &mut Vec<u8>) -> Answer {
    from.read_to_end(answer).map(drop).map_err(|_| {
        answer.clear();
        Status::SerializationFailure
    })
}

/// `DeclarePropertyArguments{string name=1; bool readonly=2; WasmType type=3; bytes schema=4; LifeSpan span=5}`: only the
/// name and the span matter here. A span of 0 is the filter chain's, 1 the request's, 2 the connection's.
fn declare_property(call: &mut Call<'_>, argument: &[u8]) -> Answer {
    let fields = fields(argument).ok_or(Status::BadArgument)?;
    let name = fields.bytes(1).unwrap_or_default();
    let spans_connection = fields.number(5) == Some(2);
    let declared = &mut call.caller.data_mut().context_mut().ok_or(Status::BadArgument)?.declared;
    if declared.contains_key(&name) {
        return Err(Status::BadArgument);
    }
    declared.insert(name, spans_connection);
    Ok(())
}

/// The names for which Envoy has a factory, without which nothing is set.
const FACTORIES: [&[u8]; 5] = [
    b"envoy.string",
    b"envoy.hashable_string",
    b"envoy.tcp_proxy.cluster",
    b"envoy.network.upstream_server_name",
    b"envoy.ratelimit.hits_addend",
];

/// `SetEnvoyFilterStateArguments{string path=1; string value=2; LifeSpan span=3}`.
fn set_filter_state(call: &mut Call<'_>, argument: &[u8]) -> Answer {
    let fields = fields(argument).ok_or(Status::BadArgument)?;
    let (path, value) = (fields.bytes(1).unwrap_or_default(), fields.bytes(2).unwrap_or_default());
    if !FACTORIES.contains(&path.as_slice()) {
        return Err(Status::NotFound);
    }
    let context = call.caller.data().context().filter(|context| matches!(context.kind, Kind::Http | Kind::Tcp));
    let stream = context.and_then(|context| context.stream.clone()).ok_or(Status::NotFound)?;
    stream.borrow_mut().state.insert(path, value);
    Ok(())
}

/// The fields of a protobuf message, the last of each number first.
pub(super) struct Fields(Vec<(u64, Field)>);

pub(super) enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Fields {
    pub(super) fn bytes(&self, number: u64) -> Option<Vec<u8>> {
        self.0.iter().rev().find_map(|(other, field)| match field {
            Field::Bytes(bytes) if *other == number => Some(bytes.clone()),
            _ => None,
        })
    }

    fn number(&self, number: u64) -> Option<u64> {
        self.0.iter().rev().find_map(|(other, field)| match field {
            Field::Number(value) if *other == number => Some(*value),
            _ => None,
        })
    }
}

pub(super) fn fields(mut bytes: &[u8]) -> Option<Fields> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let number = key >> 3;
        (number != 0).then_some(())?;
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Field::Bytes(value.to_vec())
            }
            1 => skip(&mut bytes, 8)?,
            5 => skip(&mut bytes, 4)?,
            _ => return None,
        };
        fields.push((number, field));
    }
    Some(Fields(fields))
}

fn skip(bytes: &mut &[u8], length: usize) -> Option<Field> {
    let (value, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(Field::Bytes(value.to_vec()))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_by_its_numbers_and_a_broken_one_is_none() {
        let message = fields(&[0x0a, 3, b't', b'a', b'g', 0x18, 1, 0x28, 2]).unwrap();
        assert_eq!(message.bytes(1), Some(b"tag".to_vec()));
        assert_eq!((message.number(3), message.number(5), message.number(4)), (Some(1), Some(2), None));
        assert!(fields(&[0, 0, 0]).is_none());
        assert!(fields(&[0x0a, 9, b't']).is_none());
    }
}

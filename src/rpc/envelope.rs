//! The JSON-RPC envelope of requests and replies.
//!
//! Replies are read in one pass: the caller's decoder gets `result` where it stands, wherever the release puts `id`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::error::{RpcError, words};
use crate::wire::tame;

#[derive(Serialize)]
struct Request<'a, P: ?Sized> {
    jsonrpc: &'static str,
    id: u64,
    method: &'static str,
    params: &'a P,
}

/// Writes a request as one line into `line`.
pub(super) fn write<P>(
    line: &mut Vec<u8>,
    id: u64,
    method: &'static str,
    params: &P,
) -> Result<(), RpcError>
where
    P: Serialize + ?Sized,
{
    line.clear();
    serde_json::to_writer(
        &mut *line,
        &Request {
            jsonrpc: "2.0",
            id,
            method,
            params,
        },
    )
    .map_err(|error| RpcError::Params {
        method,
        reason: words(&error.to_string()),
    })?;
    line.push(b'\n');
    Ok(())
}

/// Reads the reply to the request `id`, its result by `seed`.
///
/// A result is only returned if all of the line is a good reply to that very request. After an error `seed` may have been
/// fed with anything.
pub(super) fn read<'de, S>(
    line: &'de [u8],
    id: u64,
    method: &'static str,
    seed: S,
) -> Result<S::Value, RpcError>
where
    S: DeserializeSeed<'de>,
{
    let fault = match parse(line, seed) {
        Ok(envelope) => return envelope.open(id, method),
        Err(fault) => fault,
    };
    // Something is wrong, either with the reply or with its result alone; a pass that ignores the result tells.
    match parse(line, PhantomData::<IgnoredAny>) {
        Ok(envelope) => {
            envelope.open(id, method)?;
            Err(RpcError::Content {
                method,
                reason: words(&fault.to_string()),
            })
        }
        Err(fault) => match serde_json::from_slice::<IgnoredAny>(line) {
            Ok(_) => Err(RpcError::not_rpc(method, &fault.to_string(), line)),
            Err(fault) => Err(RpcError::not_json(method, &fault.to_string(), line)),
        },
    }
}

/// Reads the result of a reply by `seed`, whatever request it answers; for replies that are kept.
pub(crate) fn read_kept<'de, S>(line: &'de [u8], seed: S) -> Result<S::Value, String>
where
    S: DeserializeSeed<'de>,
{
    let envelope = parse(line, seed).map_err(|error| error.to_string())?;
    envelope
        .outcome
        .map_err(|refusal| refusal.message.into_owned())
}

/// Hands the result of a reply that was kept to `read`; whether that could read it. Only if need be the line
/// is [tamed](tame), but it is if it could not be read: what is wrong, if anything, is for
/// [`read_kept`] to say.
pub(crate) fn read_usual(line: &mut [u8], mut read: impl FnMut(&[u8]) -> Option<()>) -> bool {
    let mut read = |line: &[u8]| peek_result(line).and_then(&mut read).is_some();
    read(line) || {
        tame(line);
        read(line)
    }
}

/// The result of a reply, if all else in the line is as the releases have it: `jsonrpc` first, and `id`
/// before or behind the result. Who finds the result good knows that the line is.
fn peek_result(line: &[u8]) -> Option<&[u8]> {
    let mut rest = line;
    for token in [&b"{"[..], b"\"jsonrpc\"", b":", b"\"2.0\"", b","] {
        rest = trim_blanks(rest).strip_prefix(token)?;
    }
    let end = trim_blanks_end(line).strip_suffix(b"}")?.len();
    let end = match trim_blanks(rest).strip_prefix(b"\"id\"") {
        None => {
            let (_, before) = trailing_id(line)?;
            trim_blanks_end(before).strip_suffix(b",")?.len()
        }
        Some(id) => {
            let id = trim_blanks(trim_blanks(id).strip_prefix(b":")?);
            let digits = id.iter().take_while(|byte| byte.is_ascii_digit()).count();
            whole_number(&id[..digits])?;
            rest = trim_blanks(&id[digits..]).strip_prefix(b",")?;
            end
        }
    };
    for token in [&b"\"result\""[..], b":"] {
        rest = trim_blanks(rest).strip_prefix(token)?;
    }
    line.get(line.len() - rest.len()..end)
}

const BLANKS: [u8; 4] = *b" \t\n\r";

fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let Some((first, rest)) = text.split_first()
        && BLANKS.contains(first)
    {
        text = rest;
    }
    text
}

fn trim_blanks_end(mut text: &[u8]) -> &[u8] {
    while let Some((last, rest)) = text.split_last()
        && BLANKS.contains(last)
    {
        text = rest;
    }
    text
}

/// In digits, as JSON has it.
fn whole_number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.parse()
        .ok()
        .filter(|_| text == "0" || !text.starts_with(['0', '+']))
}

/// The id of a reply, if it can be had without reading the result. It is a hint: only [`read`] is sure.
///
/// Releases write it before or after the result. At the end of a line of good JSON, `"id": 7}` cannot lie within a string
/// or an inner object, whatever a client calls itself.
pub(super) fn peek_id(line: &[u8]) -> Option<u64> {
    let trailing = trailing_id(line).map(|(id, _)| id);
    trailing.or_else(|| leading_id(line))
}

/// Gives also what stands before it.
fn trailing_id(line: &[u8]) -> Option<(u64, &[u8])> {
    let body = trim_blanks_end(trim_blanks_end(line).strip_suffix(b"}")?);
    let digits = body.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let (body, digits) = body.split_at(body.len() - digits);
    let body = trim_blanks_end(trim_blanks_end(body).strip_suffix(b":")?);
    let body = body.strip_suffix(b"\"id\"")?;
    if !matches!(trim_blanks_end(body).last(), Some(b',' | b'{')) {
        return None;
    }
    Some((whole_number(digits)?, body))
}

fn leading_id(line: &[u8]) -> Option<u64> {
    struct Head<'a>(&'a mut Option<u64>);

    impl<'de> Visitor<'de> for Head<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON-RPC reply")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(key) = map.next_key()? {
                match key {
                    Key::Id => {
                        *self.0 = map.next_value()?;
                        break;
                    }
                    Key::Result | Key::Error => break,
                    Key::Other => _ = map.next_value::<IgnoredAny>()?,
                }
            }
            Ok(())
        }
    }

    let mut id = None;
    // The map is left in the middle, which is an error to serde and all that was wanted here.
    _ = serde_json::Deserializer::from_slice(line).deserialize_map(Head(&mut id));
    id
}

fn parse<'de, S: DeserializeSeed<'de>>(
    line: &'de [u8],
    seed: S,
) -> Result<Envelope<'de, S::Value>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(line);
    let envelope = json.deserialize_map(EnvelopeVisitor(seed))?;
    json.end()?;
    Ok(envelope)
}

struct Envelope<'de, T> {
    /// Null in an answer to a request that the server could not read.
    id: Option<u64>,
    outcome: Result<T, Refusal<'de>>,
}

#[derive(Deserialize)]
struct Refusal<'a> {
    #[serde(default)]
    code: i64,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

impl<T> Envelope<'_, T> {
    fn open(self, sent: u64, method: &'static str) -> Result<T, RpcError> {
        let wrong_id = |received| {
            Err(RpcError::WrongId {
                method,
                sent,
                received,
            })
        };
        match (self.id, self.outcome) {
            (Some(id), _) if id != sent => wrong_id(id.to_string()),
            (None, Ok(_)) => wrong_id("null".to_owned()),
            (Some(_), Ok(result)) => Ok(result),
            // Without an id it can only be about the one request in flight.
            (_, Err(Refusal { code, message })) => Err(RpcError::Server {
                method,
                code,
                message: words(&message),
            }),
        }
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Id,
    Result,
    Error,
    #[serde(other)]
    Other,
}

struct EnvelopeVisitor<S>(S);

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for EnvelopeVisitor<S> {
    type Value = Envelope<'de, S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `id`, and `result` or `error`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut seed = Some(self.0);
        let mut id = None;
        let mut result = None;
        let mut refusal: Option<Refusal<'de>> = None;
        while let Some(key) = map.next_key()? {
            match key {
                Key::Id => {
                    if id.replace(map.next_value()?).is_some() {
                        return Err(A::Error::duplicate_field("id"));
                    }
                }
                // A null beside an error, as old dialects of JSON-RPC have it.
                Key::Result if refusal.is_some() => _ = map.next_value::<IgnoredAny>()?,
                Key::Result => {
                    let seed = seed
                        .take()
                        .ok_or_else(|| A::Error::duplicate_field("result"))?;
                    result = Some(map.next_value_seed(seed)?);
                }
                Key::Error => refusal = map.next_value()?,
                Key::Other => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        let id = id.ok_or_else(|| A::Error::missing_field("id"))?;
        let outcome = match (refusal, result) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(result)) => Ok(result),
            (None, None) => return Err(A::Error::custom("neither `result` nor `error`")),
        };
        Ok(Envelope { id, outcome })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::snapshot::Sessions;
    use crate::wire::{SessionsDecoder, SessionsSeed, shown};

    fn read_value(line: &str) -> Result<Value, RpcError> {
        read(line.as_bytes(), 7, "sessions", PhantomData)
    }

    /// A reply with its members in the order of each release, and in those that none has.
    fn orders(id: u64, result: &str) -> [String; 4] {
        [
            format!(r#"{{"jsonrpc": "2.0", "result": {result}, "id": {id}}}"#),
            format!(r#"{{"jsonrpc": "2.0", "id": {id}, "result": {result}}}"#),
            format!(r#"{{"result":{result},"id":{id},"jsonrpc":"2.0"}}"#),
            format!(r#" {{ "id" : {id} , "new": {{"id": 9, "error": 1}}, "result" : {result} }} "#),
        ]
    }

    #[test]
    fn the_order_of_members_does_not_matter() {
        for line in orders(7, r#"["x"]"#) {
            assert_eq!(read_value(&line).unwrap(), json!(["x"]), "{line}");
        }
        for line in [
            r#"{"jsonrpc":"2.0","error":{"message":"no","code":-1},"id":7}"#,
            r#"{"jsonrpc":"2.0","id":7,"error":{"message":"no","code":-1}}"#,
            r#"{"id":7,"error":{"message":"no","code":-1,"data":[1]},"result":null}"#,
            r#"{"id":7,"result":null,"error":{"message":"no","code":-1}}"#,
            r#"{"id":null,"error":{"message":"no","code":-1}}"#,
        ] {
            let error = read_value(line).unwrap_err();
            assert!(
                matches!(&error, RpcError::Server { code: -1, message, .. } if message == "no"),
                "{error:?}"
            );
        }
        assert_eq!(
            read_value(r#"{"id":7,"result":1,"error":null}"#).unwrap(),
            1
        );
    }

    #[test]
    fn a_null_result_beside_an_error_is_no_content() {
        let line = br#"{"result":null,"error":{"message":"no","code":-1},"id":7}"#;
        let error = read(line, 7, "sessions", PhantomData::<Vec<u64>>).unwrap_err();
        assert!(matches!(error, RpcError::Server { .. }), "{error:?}");
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for line in [
            "[1]",
            "7",
            "{}",
            r#"{"id":7}"#,
            r#"{"result":1}"#,
            r#"{"id":"7","result":1}"#,
            r#"{"id":-7,"result":1}"#,
            r#"{"id":7,"id":7,"result":1}"#,
            r#"{"id":7,"result":1,"result":1}"#,
            r#"{"id":7,"error":"no"}"#,
            r#"{"id":7,"method":"notify","params":[]}"#,
        ] {
            let error = read_value(line).unwrap_err();
            assert!(
                matches!(error, RpcError::NotRpc { .. }),
                "{line}: {error:?}"
            );
        }
        for line in [
            "",
            "no",
            r#"{"id":7,"result":[1,2"#,
            r#"{"id":7,"result":NaN}"#,
            r#"{"id":7,"result":1} x"#,
        ] {
            let error = read_value(line).unwrap_err();
            assert!(
                matches!(error, RpcError::NotJson { .. }),
                "{line}: {error:?}"
            );
        }
        for line in orders(8, "1")
            .into_iter()
            .chain([r#"{"id":null,"result":1}"#.to_owned()])
        {
            let error = read_value(&line).unwrap_err();
            assert!(
                matches!(error, RpcError::WrongId { sent: 7, .. }),
                "{line}: {error:?}"
            );
        }
    }

    #[test]
    fn a_wrong_id_weighs_more_than_unreadable_content() {
        let read =
            |line: &str| read(line.as_bytes(), 7, "sessions", PhantomData::<u64>).unwrap_err();
        for line in orders(8, r#""text""#) {
            assert!(matches!(read(&line), RpcError::WrongId { .. }), "{line}");
        }
        for line in orders(7, r#""text""#) {
            assert!(matches!(read(&line), RpcError::Content { .. }), "{line}");
        }
    }

    /// Python writes what is no Unicode as an escape of its own, and a client may call itself so.
    #[test]
    fn a_lone_surrogate_spoils_the_content_not_the_connection() {
        let error = read_value(r#"{"jsonrpc": "2.0", "result": ["\ud800"], "id": 7}"#).unwrap_err();
        assert!(matches!(error, RpcError::Content { .. }), "{error:?}");
    }

    #[test]
    fn the_result_is_found_where_releases_have_it_or_not_at_all() {
        let result = r#"[{"id": 9}, "\"id\": 9}", 1 ]"#;
        for line in [
            format!(r#"{{"jsonrpc": "2.0", "result": {result}, "id": 7}}"#),
            format!(r#"{{"jsonrpc": "2.0", "id": 7, "result": {result}}}"#),
            format!(" {{ \"jsonrpc\"\t: \"2.0\" ,\"result\":{result},\"id\":0 }}\r\n"),
            format!(r#"{{"jsonrpc":"2.0","id":10,"result":{result}}}"#),
        ] {
            let found = peek_result(line.as_bytes()).unwrap();
            assert_eq!(str::from_utf8(found).unwrap().trim(), result, "{line}");
        }
        for line in [
            "",
            "{}",
            r#"{"result":[],"id":7,"jsonrpc":"2.0"}"#,
            r#"{"jsonrpc":"2.0","result":[]}"#,
            r#"{"jsonrpc":"2.0","result":[],"id":-7}"#,
            r#"{"jsonrpc":"2.0","result":[],"id":07}"#,
            r#"{"jsonrpc":"2.0","id":07,"result":[]}"#,
            r#"{"jsonrpc":"2.0","id":"7","result":[]}"#,
            r#"{"jsonrpc":"2.0","id":null,"result":[]}"#,
            r#"{"jsonrpc":"2.0","error":{"code":1,"message":"no"},"id":7}"#,
            r#"{"jsonrpc":"2.0","result":[],"id":7} x"#,
        ] {
            assert_eq!(peek_result(line.as_bytes()), None, "{line}");
        }
    }

    const ROWS: &str = r#"[[7,"T1","1.2.3.4:5","\"],\"id\":9}","1.4",5.5,0,0,0,0,1,2,3,4,5.5]]"#;

    fn fast_or_slow(line: &mut [u8], columns: &mut Sessions) -> Result<(), String> {
        let mut decoder = SessionsDecoder::default();
        if read_usual(line, |result| decoder.read_usual(result, columns)) {
            return Ok(());
        }
        read_kept(line, SessionsSeed(columns))
    }

    fn both_ways(line: &[u8]) -> [Result<String, String>; 2] {
        let (mut raw, mut tamed) = (line.to_vec(), line.to_vec());
        tame(&mut tamed);
        let (mut fast, mut slow) = (Sessions::default(), Sessions::default());
        [
            fast_or_slow(&mut raw, &mut fast).map(|()| shown(&fast)),
            read_kept(&tamed, SessionsSeed(&mut slow)).map(|()| shown(&slow)),
        ]
    }

    #[test]
    fn kept_sessions_are_read_alike_both_ways() {
        for line in orders(7, ROWS).into_iter().chain([
            r#"{"jsonrpc":"2.0","error":{"code":1,"message":"no"},"id":7}"#.to_owned(),
            format!(r#"{{"jsonrpc":"2.0","result":{ROWS},"result":{ROWS},"id":7}}"#),
            format!(r#"{{"jsonrpc":"2.0","id":7,"result":{ROWS},"id":7}}"#),
            format!(r#"{{"jsonrpc":"2.0","result":{ROWS},"x":[],"id":7}}"#),
            format!(r#"{{"jsonrpc":"2.0","result":{ROWS},"error":null,"id":7}}"#),
            format!(r#"{{"jsonrpc":"2.0","result":{ROWS}]],"id":7}}"#),
            format!(
                r#"{{"jsonrpc":"2.0","result":{},"id":7}}"#,
                ROWS.replacen("0,0,0,0", "NaN,0,0,0", 1)
            ),
        ]) {
            let [fast, slow] = both_ways(line.as_bytes());
            assert_eq!(fast, slow, "{line}");
        }
    }

    #[test]
    fn the_id_is_found_at_either_end_or_not_at_all() {
        for line in orders(7, r#"[{"id": 9}, "\"id\": 9}"]"#) {
            let expected = if line.starts_with(r#"{"result""#) {
                None
            } else {
                Some(7)
            };
            assert_eq!(peek_id(line.as_bytes()), expected, "{line}");
        }
        for line in [
            "",
            "}",
            ":1}",
            "\"id\":1}",
            r#"{"result":{"id":1}}"#,
            r#"{"result":1,"x\"id":1}"#,
            r#"{"result":1,"id":-1}"#,
            r#"{"result":1,"id":1.5}"#,
            r#"{"result":1,"id":99999999999999999999}"#,
        ] {
            assert_eq!(peek_id(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_content_passes_for_an_envelope(
            texts in prop::collection::vec(
                prop_oneof![
                    any::<String>(),
                    r#"[\\]{0,2}"?[,{}\]]{0,2} ?"(id|error|result)"? ?: ?[0-9]{0,2}[}\]]{0,2}"#,
                ],
                0..4,
            ),
            id in any::<u64>(),
        ) {
            let result = json!([texts, {"id": 1, "error": texts, "result": texts}]);
            for line in orders(id, &result.to_string()) {
                let read: Value = read(line.as_bytes(), id, "sessions", PhantomData).unwrap();
                prop_assert_eq!(&read, &result);
                prop_assert!(peek_id(line.as_bytes()).is_none_or(|peeked| peeked == id));
            }
        }

        #[test]
        fn damaged_kept_sessions_are_read_alike_both_ways(
            order in 0..4_usize,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut line = orders(7, ROWS)[order].clone().into_bytes();
            for (place, byte) in damage {
                let place = place.index(line.len());
                line[place] = byte;
            }
            let [fast, slow] = both_ways(&line);
            prop_assert_eq!(fast, slow);
        }

        #[test]
        fn any_bytes_at_all_are_taken(line in prop::collection::vec(any::<u8>(), 0..200)) {
            _ = peek_id(&line);
            _ = read(&line, 7, "sessions", PhantomData::<IgnoredAny>);
        }
    }
}

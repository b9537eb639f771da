//! Replies: messages, and answers in pieces.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::answer::Answer;

/// A reply's body.
#[derive(Debug)]
pub(super) enum Body {
    /// Nothing once it is sent.
    Whole(Option<Bytes>),
    Answer(Answer),
}

/// A message, as the local API gives them.
pub(super) fn message(status: StatusCode, message: &str) -> Response<Body> {
    let text = json!({ "message": message }).to_string();
    let mut response = reply(Body::Whole(Some(text.into())));
    *response.status_mut() = status;
    response
}

/// JSON.
pub(super) fn reply(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Answer(answer) => answer.poll_piece(context).map(|piece| {
                let piece = piece?;
                Some(Ok(Frame::data(piece.into())))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Answer(_) => SizeHint::default(),
        }
    }
}

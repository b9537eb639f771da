//! The body of an answer, written piece by piece from the board, so that a million bans need no more memory than one.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use super::board::{Board, Half, List};

/// `{"new":[…],"deleted":[…]}`.
#[derive(Debug)]
pub(super) struct Answer {
    board: Arc<Mutex<Board>>,
    /// The next change, and the last one.
    next: u64,
    last: u64,
    first: u64,
    has_items: bool,
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Begin,
    Half(Half),
    End,
}

impl Answer {
    /// Of the changes behind `known`; also the number of the last one.
    pub(super) fn of(board: Arc<Mutex<Board>>, known: u64) -> (Self, u64) {
        let last = board.lock().expect("nobody panics with it").last();
        let answer = Self {
            board,
            next: known + 1,
            last,
            first: known + 1,
            has_items: false,
            part: Part::Begin,
        };
        (answer, last)
    }

    /// The next piece, if there is one.
    pub(super) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        if self.part == Part::End {
            return Poll::Ready(None);
        }
        let piece = self.piece();
        if piece.is_empty() {
            // The agent has other things to do as well.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(piece))
    }

    /// The next piece; it is empty if nothing is to be said of many changes.
    fn piece(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        match self.part {
            Part::Begin => {
                out.extend_from_slice(b"{\"new\":[");
                self.begin(Half::New);
            }
            Part::Half(half) => {
                if !self.write(half, &mut out) {
                    match half {
                        Half::New => {
                            out.extend_from_slice(b"],\"deleted\":[");
                            self.begin(Half::Deleted);
                        }
                        Half::Deleted => {
                            out.extend_from_slice(b"]}");
                            self.part = Part::End;
                        }
                    }
                }
            }
            Part::End => {}
        }
        out
    }

    fn begin(&mut self, half: Half) {
        self.part = Part::Half(half);
        self.next = self.first;
        self.has_items = false;
    }

    /// Whether there is more.
    fn write(&mut self, half: Half, out: &mut Vec<u8>) -> bool {
        if self.next > self.last {
            return false;
        }
        let mut list = List {
            out,
            has_items: &mut self.has_items,
        };
        let board = self.board.lock().expect("nobody panics with it");
        let next = board.write(half, self.next..=self.last, &mut list);
        self.next = next.unwrap_or(u64::MAX);
        next.is_some()
    }
}

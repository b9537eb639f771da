//! Replies as the server sent them, for a recording.
//!
//! Only of requests that read: what is answered to acts may bear credentials, and is put into words
//! elsewhere.

/// What is kept.
const METHODS: [&str; 4] = ["getinfo", "groups", "sessions", "inspect_session"];

/// Reply lines one after the other, bare `NaN` and all, each with its newline.
#[derive(Debug, Default)]
pub struct Tape {
    bytes: Vec<u8>,
    /// The method of each line, and where the line ends.
    ends: Vec<(&'static str, usize)>,
}

impl Tape {
    /// Takes in the reply to a request, without its newline; to other than reading requests it is left out.
    pub fn hear(&mut self, method: &'static str, line: &[u8]) {
        if METHODS.contains(&method) {
            self.bytes.extend_from_slice(line);
            self.bytes.push(b'\n');
            self.ends.push((method, self.bytes.len()));
        }
    }

    /// Each reply's method and line, without its newline, in the order in which they came.
    pub fn replies(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|&(_, end)| end));
        let ends = self.ends.iter();
        starts
            .zip(ends)
            .map(|(start, &(method, end))| (method, &self.bytes[start..end - 1]))
    }

    /// How long the replies are together.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the last one if it is the reply to `method`: it could not be read.
    pub fn forget(&mut self, method: &str) {
        if self.ends.pop_if(|&mut (last, _)| last == method).is_some() {
            let end = self.ends.last().map_or(0, |&(_, end)| end);
            self.bytes.truncate(end);
        }
    }

    /// Forgets them, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

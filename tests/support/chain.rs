//! A regtest chain of blocks that hold nothing but their coinbase: real headers, real proof of work.
//!
//! Blocks follow from their height alone (and the branch), so two chains of one height are the same chain.

use sha2::{Digest as _, Sha256};

const GENESIS_COINBASE: &str = "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d\
     0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261\
     696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962\
     e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000";
const GENESIS_TIME: u32 = 1_296_688_602;
/// Not the first nonce that would do, but the one that everybody's genesis block has.
const GENESIS_NONCE: u32 = 2;
const BITS: u32 = 0x207f_ffff;

/// A block as it goes over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) raw: Vec<u8>,
    hash: [u8; 32],
}

impl Block {
    fn mine(prev: [u8; 32], time: u32, coinbase: &[u8], first_nonce: u32) -> Self {
        let mut header = Vec::with_capacity(80);
        header.extend(1_u32.to_le_bytes());
        header.extend(prev);
        header.extend(double_sha256(coinbase));
        header.extend(time.to_le_bytes());
        header.extend(BITS.to_le_bytes());
        let hash_with = |nonce: u32| double_sha256(&[&header[..], &nonce.to_le_bytes()].concat());
        let mut nonce = first_nonce;
        // Every second hash is below regtest's target.
        while hash_with(nonce)[31] >= 0x80 {
            nonce += 1;
        }
        let hash = hash_with(nonce);
        let raw = [&header[..], &nonce.to_le_bytes(), &[1], coinbase].concat();
        Self { raw, hash }
    }

    /// The hash as people and RPCs write it: reversed, in hex.
    pub(crate) fn hash(&self) -> String {
        let mut hash = self.hash;
        hash.reverse();
        hex(&hash)
    }
}

/// The blocks from genesis to the tip.
#[derive(Debug)]
pub(crate) struct Chain(Vec<Block>);

impl Chain {
    /// The genesis block and `height` blocks on top.
    pub(crate) fn of_height(height: u32) -> Self {
        let genesis = Block::mine(
            [0; 32],
            GENESIS_TIME,
            &unhex(GENESIS_COINBASE),
            GENESIS_NONCE,
        );
        let mut chain = Self(vec![genesis]);
        chain.mine(height, 0);
        chain
    }

    pub(crate) fn height(&self) -> u32 {
        u32::try_from(self.0.len() - 1).expect("a short chain")
    }

    /// Adds `count` blocks; chains that mined on different branches differ.
    pub(crate) fn mine(&mut self, count: u32, branch: u32) {
        for _ in 0..count {
            let height = self.height() + 1;
            let prev = self.0.last().expect("genesis").hash;
            self.0.push(Block::mine(
                prev,
                GENESIS_TIME + 600 * height,
                &coinbase(height, branch),
                0,
            ));
        }
    }

    /// Drops the last `count` blocks.
    pub(crate) fn undo(&mut self, count: u32) {
        let keep = self.0.len().saturating_sub(count as usize).max(1);
        self.0.truncate(keep);
    }

    pub(crate) fn at(&self, height: u64) -> Option<&Block> {
        self.0.get(usize::try_from(height).ok()?)
    }

    pub(crate) fn by_hash(&self, hash: &str) -> Option<&Block> {
        self.0.iter().find(|block| block.hash() == hash)
    }
}

fn coinbase(height: u32, branch: u32) -> Vec<u8> {
    let mut tx = vec![1, 0, 0, 0, 1];
    tx.extend([0; 32]);
    tx.extend(u32::MAX.to_le_bytes());
    tx.push(10);
    tx.push(4);
    tx.extend(height.to_le_bytes());
    tx.push(4);
    tx.extend(branch.to_le_bytes());
    tx.extend(u32::MAX.to_le_bytes());
    tx.push(1);
    tx.extend(5_000_000_000_u64.to_le_bytes());
    tx.extend([1, 0x51]); // OP_TRUE
    tx.extend([0; 4]);
    tx
}

fn double_sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn unhex(text: &str) -> Vec<u8> {
    let nibbles: Vec<u8> = text
        .chars()
        .map(|c| u8::try_from(c.to_digit(16).expect("a hex digit")).expect("below 16"))
        .collect();
    nibbles
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

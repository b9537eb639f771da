//! What follows from the coin and the release that `getinfo` names. What is not known is not
//! guessed: the configuration can say it.

use std::time::Duration;

/// Coins whose blocks come at random with a known mean, in seconds, by `ElectrumX`'s class without
/// the network at its end.
const BLOCK_TIMES_S: &[(&str, u64)] = &[
    ("Bitcoin", 600),
    ("BitcoinSegwit", 600),
    ("BitcoinCash", 600),
    ("BitcoinSV", 600),
    ("Namecoin", 600),
    ("Litecoin", 150),
    ("Vertcoin", 150),
    ("Monacoin", 90),
    ("Zcash", 75),
    ("Dogecoin", 60),
    ("Groestlcoin", 60),
    ("Ravencoin", 60),
    ("DigiByte", 15),
];

/// Networks as `ElectrumX` ends its classes with them, and as a daemon calls them.
const NETWORKS: &[(&str, &str)] = &[
    ("Mainnet", "main"),
    ("Testnet4", "testnet4"),
    ("Testnet3", "test"),
    ("Testnet", "test"),
    ("Signet", "signet"),
    ("Regtest", REGTEST),
];

const REGTEST: &str = "regtest";

/// The mean time between two blocks. On regtest there is none: blocks come when somebody asks.
pub(super) fn block_time(coin: &str) -> Option<Duration> {
    let (coin, network) = split(coin);
    let (_, seconds) = BLOCK_TIMES_S.iter().find(|(name, _)| *name == coin)?;
    (network != REGTEST).then(|| Duration::from_secs(*seconds))
}

/// What a daemon of this coin calls its chain.
pub(super) fn chain_name(coin: &str) -> Option<&'static str> {
    let (coin, network) = split(coin);
    let is_known = BLOCK_TIMES_S.iter().any(|(name, _)| *name == coin);
    is_known.then_some(network)
}

fn split(coin: &str) -> (&str, &'static str) {
    NETWORKS
        .iter()
        .find_map(|(suffix, network)| Some((coin.strip_suffix(suffix)?, *network)))
        .unwrap_or((coin, "main"))
}

/// The indexes without which a release does not start on a daemon of Bitcoin. The classes
/// `BitcoinMainnet`, `BitcoinTestnet3` and so on came with the releases that look.
pub(super) fn indexes(version: &str, coin: &str) -> &'static [&'static str] {
    let release = version.rsplit(' ').next().unwrap_or_default();
    let mut numbers = release
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    let release = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match split(coin).0 {
        "Bitcoin" if release >= (2, 0) => &["txindex", "txospenderindex"],
        "Bitcoin" if release >= (1, 20) => &["txindex"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coins() {
        let of = |coin| {
            (
                block_time(coin).map(|time| time.as_secs()),
                chain_name(coin),
            )
        };
        assert_eq!(of("Bitcoin"), (Some(600), Some("main")));
        assert_eq!(of("BitcoinMainnet"), (Some(600), Some("main")));
        assert_eq!(of("BitcoinSegwitRegtest"), (None, Some("regtest")));
        assert_eq!(of("BitcoinTestnet4"), (Some(600), Some("testnet4")));
        assert_eq!(of("LitecoinTestnet"), (Some(150), Some("test")));
        assert_eq!(of("Egulden"), (None, None));
        assert_eq!(of("BitcoinMutinynet"), (None, None));
    }

    #[test]
    fn releases_ask_for_more_indexes_as_they_grow() {
        assert_eq!(indexes("ElectrumX 1.16.0", "Bitcoin"), [""; 0]);
        assert_eq!(indexes("ElectrumX 1.20.0", "BitcoinRegtest"), ["txindex"]);
        assert_eq!(
            indexes("ElectrumX 2.0.0", "BitcoinMainnet"),
            ["txindex", "txospenderindex"]
        );
        assert_eq!(indexes("ElectrumX 1.20.0", "Litecoin"), [""; 0]);
        assert_eq!(indexes("", ""), [""; 0]);
    }
}

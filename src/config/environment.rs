//! `ElectrumX`'s environment, as far as it tells the daemons, the slots and the services.
//!
//! A file is read as systemd reads an `EnvironmentFile`: blanks around `=`, both kinds of quotes,
//! a backslash that joins lines, comments on lines of their own. `export` before a name is taken as
//! well. A folder is read as daemontools' envdir reads it. Nothing is expanded: what only a shell
//! would understand is noticed, for messages.

use std::iter::Peekable;
use std::str::Chars;

/// What is looked at; the rest may hold other secrets, and is dropped.
#[derive(Default)]
pub(super) struct Environment {
    pub(super) daemon_url: Option<String>,
    coin: Option<String>,
    net: Option<String>,
    pub(super) max_sessions: Option<String>,
    pub(super) services: Option<String>,
    /// Whether a shell would make something else of it.
    pub(super) is_shell: bool,
}

impl Environment {
    /// The environment that a file is if it sets one of these variables; else it is something else.
    pub(super) fn if_file(text: &str) -> Option<Self> {
        let environment = Self::of_file(text);
        let Self {
            daemon_url,
            coin,
            net,
            ..
        } = &environment;
        let is_one = [daemon_url, coin, net].into_iter().any(Option::is_some);
        is_one.then_some(environment)
    }

    /// Of several values for one name the last counts.
    pub(super) fn of_file(text: &str) -> Self {
        let mut environment = Self::default();
        let mut chars = text.chars().peekable();
        while let Some((name, value)) = assignment(&mut chars) {
            let name = name.trim();
            let name = match name.split_once(char::is_whitespace) {
                Some(("export", name)) => name.trim_start(),
                _ => name,
            };
            match name {
                "DAEMON_URL" => environment.daemon_url = Some(value),
                "COIN" => environment.coin = Some(value),
                "NET" => environment.net = Some(value),
                "MAX_SESSIONS" => environment.max_sessions = Some(value),
                "SERVICES" => environment.services = Some(value),
                _ => {}
            }
        }
        environment.is_shell = match &environment.daemon_url {
            Some(url) => url.contains(['$', '`', '#', ';']),
            None => text.lines().any(|line| {
                line.contains("DAEMON_URL") && !line.trim_start().starts_with(['#', ';'])
            }),
        };
        environment
    }

    /// From what the files of these names hold.
    pub(super) fn of_folder(
        daemon_url: Option<String>,
        coin: Option<String>,
        net: Option<String>,
    ) -> Self {
        Self {
            daemon_url: value_of_file(daemon_url),
            coin: value_of_file(coin),
            net: value_of_file(net),
            ..Self::default()
        }
    }

    /// The port that the server takes for a daemon without one. Other coins than Bitcoin have
    /// others, some one only in some releases.
    pub(super) fn rpc_port(&self) -> Option<u16> {
        let coin = self.coin.as_deref()?.trim();
        let is_bitcoin = ["bitcoin", "bitcoinsegwit"].contains(&&*coin.to_ascii_lowercase());
        let net = self.net.as_deref().unwrap_or("mainnet").trim();
        let port = match &*net.to_ascii_lowercase() {
            "mainnet" => 8_332,
            "testnet" => 18_332,
            "testnet4" => 48_332,
            "signet" => 38_332,
            "regtest" => 18_443,
            _ => return None,
        };
        is_bitcoin.then_some(port)
    }
}

/// The value that a file of a folder holds. An empty file takes the variable away.
pub(super) fn value_of_file(text: Option<String>) -> Option<String> {
    let text = text.filter(|text| !text.is_empty())?;
    let line = text.lines().next().unwrap_or_default();
    Some(line.trim_end_matches([' ', '\t']).to_owned())
}

/// The next name and value; lines that are none are skipped.
fn assignment(chars: &mut Peekable<Chars<'_>>) -> Option<(String, String)> {
    loop {
        while chars.next_if(char::is_ascii_whitespace).is_some() {}
        let mut name = String::new();
        let first = chars.next()?;
        let is_comment = matches!(first, '#' | ';');
        name.push(first);
        loop {
            match chars.next() {
                Some('=') if !is_comment => return Some((name, value(chars))),
                None | Some('\n' | '\r') => break,
                Some(c) => name.push(c),
            }
        }
    }
}

/// Up to the line's end, unless that is quoted or escaped.
fn value(chars: &mut Peekable<Chars<'_>>) -> String {
    let mut value = String::new();
    // Blanks count only between what is not blank, and not beside quotes.
    let mut blanks = String::new();
    let mut is_plain = false;
    while let Some(c) = chars.next() {
        match c {
            '\n' | '\r' => break,
            ' ' | '\t' => {
                if is_plain {
                    blanks.push(c);
                }
                continue;
            }
            '\'' | '"' if !is_plain => {
                quoted(c, chars, &mut value);
                continue;
            }
            '\\' => {
                value.push_str(&blanks);
                value.extend(chars.next().filter(|c| !matches!(c, '\n' | '\r')));
                is_plain = true;
            }
            c => {
                value.push_str(&blanks);
                value.push(c);
                is_plain = true;
            }
        }
        blanks.clear();
    }
    value
}

/// Up to the closing quote. Only in double quotes does a backslash mean something, and only before
/// what the shell would read.
fn quoted(quote: char, chars: &mut Peekable<Chars<'_>>, value: &mut String) {
    while let Some(c) = chars.next() {
        match c {
            c if c == quote => return,
            '\\' if quote == '"' => match chars.next() {
                Some('\n') => {}
                Some(c @ ('"' | '\\' | '`' | '$')) => value.push(c),
                Some(c) => value.extend(['\\', c]),
                None => return,
            },
            c => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> String {
        let environment = Environment::of_file(text);
        environment.daemon_url.unwrap_or("unset".to_owned())
    }

    /// The same as systemd 252 makes of them, but for `export`, and for a comment that ends with a
    /// backslash: since 254 it ends there.
    #[test]
    fn a_file_is_read_as_systemd_reads_it() {
        for (text, expected) in [
            ("DAEMON_URL=a", "a"),
            ("  DAEMON_URL = a b  \nX=1", "a b"),
            ("# DAEMON_URL=a\n; DAEMON_URL=b\n", "unset"),
            ("DAEMON_URL=a # b", "a # b"),
            ("DAEMON_URL=a#b;c", "a#b;c"),
            ("DAEMON_URL=\"a b \"", "a b "),
            ("DAEMON_URL='a\\\"b'", "a\\\"b"),
            ("DAEMON_URL=\"a\\\"b\\$c\\d\"", "a\"b$c\\d"),
            ("DAEMON_URL='a''b' \"c\"", "abc"),
            ("DAEMON_URL=a'b'", "a'b'"),
            ("DAEMON_URL=a\\\n  b", "a  b"),
            ("DAEMON_URL=a,\\\nb", "a,b"),
            ("DAEMON_URL=a, \\\nb \\", "a, b "),
            ("=\\\nDAEMON_URL=a", "a"),
            ("DAEMON_URL=\"a,\\\nb\"", "a,b"),
            ("DAEMON_URL='a\nb'", "a\nb"),
            ("DAEMON_URL=a\\b", "ab"),
            ("DAEMON_URL=a\nDAEMON_URL=b", "b"),
            ("DAEMON_URL=", ""),
            ("no assignment\nDAEMON_URL=a\r\nX=b", "a"),
            ("export DAEMON_URL=a", "a"),
            ("export  DAEMON_URL='a'", "a"),
            ("X='\nDAEMON_URL=a\n'", "unset"),
            ("DAEMON_URL='a", "a"),
            ("DAEMON_URL=a\\", "a"),
            ("DAEMON_URLS=a", "unset"),
            ("", "unset"),
            ("# a comment \\\nDAEMON_URL=a", "a"),
        ] {
            assert_eq!(url(text), expected, "{text}");
        }
    }

    #[test]
    fn what_only_a_shell_understands_is_noticed() {
        for (text, expected) in [
            ("DAEMON_URL=http://u:p@h:1", false),
            ("export DAEMON_URL=\"http://u:p@h:1\"", false),
            ("export DAEMON_URL=\"http://u:p@h:1\" # mine", true),
            ("DAEMON_URL=u:p@h:1; export DAEMON_URL", true),
            ("DAEMON_URL=http://$USER:p@h:1", true),
            ("DAEMON_URL=`cat url`", true),
            ("declare -x DAEMON_URL=u:p@h:1", true),
            ("# DAEMON_URL=u:p@h:1", false),
            ("COIN=Bitcoin # DAEMON_URL", true),
            ("COIN=$COIN", false),
        ] {
            assert_eq!(Environment::of_file(text).is_shell, expected, "{text}");
        }
    }

    #[test]
    fn not_every_file_is_an_environment() {
        for (text, expected) in [
            ("DAEMON_URL=u:p@h:1", true),
            ("\n# mine\nCOIN = Bitcoin\nX=1", true),
            ("NET=regtest", true),
            ("http://u:p@h:1", false),
            ("# DAEMON_URL=u:p@h:1\nu:p@h:1", false),
            ("u:p=NET=@h:1,\nDAEMON_URL:=p@h:1", false),
            ("X=1", false),
            ("", false),
        ] {
            assert_eq!(Environment::if_file(text).is_some(), expected, "{text}");
        }
    }

    #[test]
    fn a_folder_holds_a_file_a_variable() {
        let environment = Environment::of_folder(
            Some("a b \t\nc".to_owned()),
            Some(String::new()),
            Some("\n".to_owned()),
        );
        assert_eq!(environment.daemon_url.as_deref(), Some("a b"));
        assert_eq!(environment.coin, None);
        assert_eq!(environment.net.as_deref(), Some(""));
    }

    #[test]
    fn only_bitcoin_has_a_known_port() {
        let port = |text: &str| Environment::of_file(text).rpc_port();
        for (text, expected) in [
            ("COIN=Bitcoin", Some(8_332)),
            ("COIN= bitcoinsegwit \nNET=Mainnet", Some(8_332)),
            ("COIN=Bitcoin\nNET=testnet", Some(18_332)),
            ("COIN=Bitcoin\nNET=testnet4", Some(48_332)),
            ("COIN=Bitcoin\nNET=signet", Some(38_332)),
            ("COIN=Bitcoin\nNET=regtest", Some(18_443)),
            ("COIN=Bitcoin\nNET=mutinynet", None),
            ("COIN=BitcoinCash", None),
            ("NET=mainnet", None),
        ] {
            assert_eq!(port(text), expected, "{text}");
        }
    }
}

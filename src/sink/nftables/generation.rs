//! The kernel's count of changes to the firewall. Reading it takes microseconds, listing a table takes seconds.
//!
//! Every transaction of any program on any table adds one. An element that expires adds nothing.

use std::io;

use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

/// `NFNL_SUBSYS_NFTABLES`, then the message.
const GET_GENERATION: u16 = 10 << 8 | 16;
const NEW_GENERATION: u16 = 10 << 8 | 15;
/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `NFTA_GEN_ID`.
const ID: u16 = 1;

const HEADER_BYTES: usize = 16;
/// Netfilter's own header behind the general one.
const FAMILY_BYTES: usize = 4;

/// The number of transactions in this network namespace.
///
/// Fails if the process lacks `CAP_NET_ADMIN` or the kernel lacks `nf_tables`.
pub(super) fn generation() -> io::Result<u32> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        flags,
        Some(NETFILTER),
    )?;
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&socket, &request(), SendFlags::empty(), &kernel)?;
    // The kernel has answered when `sendto` returns.
    let mut reply = [0; 512];
    let (bytes, _) = recv(&socket, &mut reply, RecvFlags::empty())?;
    read(&reply[..bytes])
}

fn request() -> [u8; HEADER_BYTES + FAMILY_BYTES] {
    let mut message = [0; HEADER_BYTES + FAMILY_BYTES];
    let bytes = u32::try_from(message.len()).unwrap_or(u32::MAX);
    message[..4].copy_from_slice(&bytes.to_ne_bytes());
    message[4..6].copy_from_slice(&GET_GENERATION.to_ne_bytes());
    message[6..8].copy_from_slice(&REQUEST.to_ne_bytes());
    message
}

fn read(reply: &[u8]) -> io::Result<u32> {
    let strange = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the kernel's reply is malformed",
        )
    };
    let (header, body) = reply.split_at_checked(HEADER_BYTES).ok_or_else(strange)?;
    match u16::from_ne_bytes([header[4], header[5]]) {
        NEW_GENERATION => {
            let attributes = body.get(FAMILY_BYTES..).and_then(id);
            attributes.ok_or_else(strange)
        }
        ERROR => {
            let code = body.first_chunk().map(|code| i32::from_ne_bytes(*code));
            let code = code.and_then(i32::checked_neg).ok_or_else(strange)?;
            Err(io::Error::from_raw_os_error(code))
        }
        _ => Err(strange()),
    }
}

/// The generation among attributes: each its length, its kind, its value, padded to four bytes.
fn id(mut attributes: &[u8]) -> Option<u32> {
    loop {
        let (header, _) = attributes.split_first_chunk::<4>()?;
        let bytes = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let value = attributes.get(4..bytes)?;
        if u16::from_ne_bytes([header[2], header[3]]) == ID {
            return value.first_chunk().map(|value| u32::from_be_bytes(*value));
        }
        attributes = attributes.get(bytes.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut message = vec![0; HEADER_BYTES];
        message[4..6].copy_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(body);
        message
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let bytes = u16::try_from(4 + value.len()).unwrap_or(0);
        let mut attribute = [bytes.to_ne_bytes(), kind.to_ne_bytes()].concat();
        attribute.extend_from_slice(value);
        attribute.resize(attribute.len().next_multiple_of(4), 0);
        attribute
    }

    #[test]
    fn the_generation_is_found_behind_other_attributes() {
        let body = [
            &[0; 4][..],
            &attribute(3, b"nft\0x"),
            &attribute(ID, &77_u32.to_be_bytes()),
        ];
        assert_eq!(
            read(&message(NEW_GENERATION, &body.concat())).ok(),
            Some(77)
        );
    }

    #[test]
    fn an_error_is_the_systems() {
        let reply = message(ERROR, &(-1_i32).to_ne_bytes());
        let error = read(&reply).map_err(|error| error.kind());
        assert_eq!(error, Err(io::ErrorKind::PermissionDenied));
    }

    #[test]
    fn a_cut_or_strange_reply_is_an_error() {
        let good = [&[0; 4][..], &attribute(ID, &77_u32.to_be_bytes())].concat();
        let good = message(NEW_GENERATION, &good);
        for end in 0..good.len() {
            assert!(read(&good[..end]).is_err(), "{end}");
        }
        for strange in [
            message(7, &[]),
            message(ERROR, &[]),
            message(ERROR, &i32::MIN.to_ne_bytes()),
            message(NEW_GENERATION, &[0; 8]),
            message(
                NEW_GENERATION,
                &[&[0; 4][..], &attribute(2, &[0; 4])].concat(),
            ),
        ] {
            assert!(read(&strange).is_err(), "{strange:?}");
        }
    }
}

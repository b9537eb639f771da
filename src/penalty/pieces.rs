//! A network without its holes, as networks.

use ipnet::IpNet;

/// The largest networks that together are `net` without `holes`, in ascending order: at most as many as
/// there are holes times the bits that they are narrower by.
pub fn pieces(net: IpNet, holes: &[IpNet]) -> Vec<IpNet> {
    let mut found = Vec::new();
    let within: Vec<&IpNet> = holes.iter().filter(|hole| overlap(&net, hole)).collect();
    split(net, &within, &mut found);
    found
}

fn split(net: IpNet, holes: &[&IpNet], found: &mut Vec<IpNet>) {
    if holes.is_empty() {
        found.push(net);
        return;
    }
    if holes.iter().any(|hole| hole.contains(&net)) {
        return;
    }
    // A hole within it is narrower, so it has halves.
    let Ok(halves) = net.subnets(net.prefix_len() + 1) else {
        return;
    };
    for half in halves {
        let within: Vec<&IpNet> = holes
            .iter()
            .copied()
            .filter(|hole| overlap(&half, hole))
            .collect();
        split(half, &within, found);
    }
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

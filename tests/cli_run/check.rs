//! `check --rpc`: policies against what a server's release tells.

use electrumx_warden::sim::{Fault, Pace, Release, Server, World};

use crate::process::{Folder, output};

const POLICY: &str = "[[policy]]\nname = \"flood\"\nabout = \"x\"\nscope = \"session\"\n\
                      when = { errors = \"> 200\" }\naction = \"disconnect\"\n";

async fn check(server: &Server, more: &[&str]) -> (i32, String, String) {
    let folder = Folder::new(server.addr());
    std::fs::write(folder.path("policies/p.toml"), POLICY).unwrap();
    let rpc = server.addr().to_string();
    let args = [&["check", "--rpc", &rpc, "policies"], more].concat();
    output(folder.command(&args)).await
}

async fn server(release: Release) -> Server {
    Server::start(World::empty(release, 1), Pace::Manual)
        .await
        .unwrap()
}

#[tokio::test]
async fn what_the_release_does_not_tell_is_a_warning() {
    let old = server(Release::V1_20_0).await;
    let (code, out, told) = check(&old, &[]).await;
    assert_eq!((code, &*told), (0, ""));
    insta::assert_snapshot!(out);
    let (code, ..) = check(&old, &["--deny-warnings"]).await;
    assert_eq!(code, 1);
    let (code, out, _) = check(&old, &["--format", "json"]).await;
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(
        (code, &last["server"], &last["warnings"]),
        (0, &"ElectrumX 1.20.0".into(), &1.into())
    );
}

#[tokio::test]
async fn what_it_tells_is_none() {
    let (code, out, told) = check(&server(Release::V2_0_0).await, &["--deny-warnings"]).await;
    assert_eq!((code, &*told), (0, ""));
    assert_eq!(out, "1 policy in 1 file for ElectrumX 2.0.0: ok\n");
}

#[tokio::test]
async fn a_server_that_cannot_be_polled_is_a_failure() {
    let server = server(Release::V2_0_0).await;
    server.set_fault(Some(Fault::NotJson));
    let (code, out, told) = check(&server, &[]).await;
    assert_eq!((code, &*out), (1, "1 policy in 1 file: ok\n"));
    assert!(
        told.starts_with("error: the reply to `getinfo` is not JSON"),
        "{told}"
    );
}

#[tokio::test]
async fn a_proxy_in_front_of_the_server_is_a_warning() {
    let server = server(Release::V2_0_0).await;
    for port in 1..=25 {
        server
            .world()
            .connect(([198, 51, 100, 1], port).into(), "x");
    }
    let (code, out, _) = check(&server, &["--format", "json"]).await;
    let first: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(
        (code, &first["severity"], &first["code"]),
        (0, &"warning".into(), &"server::placement".into())
    );
    let message = first["message"].as_str().unwrap();
    assert!(
        message.starts_with("25 of 25 clients have the address `198.51.100.1/32`"),
        "{message}"
    );
}

use crate::{Folder, told};

#[test]
fn help() {
    insta::assert_snapshot!(told(&Folder::new(), &[&["export", "--help"]]));
}

#[test]
#[cfg(not(feature = "parquet"))]
fn a_program_that_cannot_says_so() {
    insta::assert_snapshot!(told(&Folder::new(), &[&["export", "a.rec", "--out", "tables"]]), @r"
$ electrumx-warden export a.rec --out tables
exit 2
--- stdout
--- stderr
error: this program was built without `export`: build it with `cargo build --release --features parquet`
");
}

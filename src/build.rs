//! Builds the witness, the small program whose start `bench lag --action shell` measures, so that
//! `bench` needs no file beside this binary.
//!
//! It is linked statically where the C library is there in that form: loading libraries would take
//! longer than all that it does, and be measured as ours.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "src/witness.rs";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed=src/build.rs");
    let program = PathBuf::from(env::var("OUT_DIR")?).join("punctual-witness");
    let (rustc, target) = (env::var("RUSTC")?, env::var("TARGET")?);
    let build = |how: &[&str]| {
        let mut command = Command::new(&rustc);
        command.args(["--edition=2024", "--crate-name=punctual_witness", "--target", &target]);
        command.args(["-Copt-level=3", "-Cpanic=abort", "-Cstrip=symbols"]).args(how);
        if let Ok(linker) = env::var("RUSTC_LINKER") {
            command.arg(format!("-Clinker={linker}"));
        }
        command.arg("-o").arg(&program).arg(SOURCE).output()
    };
    if build(&["-Ctarget-feature=+crt-static", "-Crelocation-model=static"])?.status.success() {
        return Ok(());
    }
    let built = build(&[])?;
    if built.status.success() {
        return Ok(());
    }
    Err(format!("{SOURCE}: {}", String::from_utf8_lossy(&built.stderr)).into())
}

//! One binary for both images and for the build: `aggregate prove`, `aggregate verify`, `aggregate setup DIR`.

use std::env;
use std::path::Path;
use std::process::ExitCode;

use aggregate::circuits_folder::Circuits;
use aggregate::failure::{CIRCUITS, Failure, USAGE};
use aggregate::{prover, run, verifier};

const CIRCUITS_FOLDER: &str = "/circuits";
const INPUT: &str = "/mnt/input";
const OUTPUT: &str = "/mnt/output";
const PROOF: &str = "/mnt/proof";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [circuits, input] = [CIRCUITS_FOLDER, INPUT].map(Path::new);
    match words[..] {
        ["prove"] => run::to_exit_code("prover", || {
            run::use_granted_cores();
            prover::prove(circuits, input, Path::new(OUTPUT))
        }),
        ["verify"] => run::to_exit_code("verifier", || verifier::verify(circuits, input, Path::new(PROOF))),
        ["setup", directory] => run::to_exit_code("setup", || setup(Path::new(directory))),
        _ => run::to_exit_code("aggregate", || {
            Err(Failure::new(USAGE, "say `prove`, `verify`, or `setup DIR` to write what images know of the circuits"))
        }),
    }
}

fn setup(directory: &Path) -> Result<String, Failure> {
    let circuits = Circuits::find().and_then(|circuits| circuits.save(directory).map(|()| circuits));
    match circuits {
        Ok(circuits) => Ok(circuits.digests()),
        Err(error) => Err(Failure::new(CIRCUITS, format!("{error:#}"))),
    }
}

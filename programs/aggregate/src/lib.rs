//! Proofs of proofs: chunks of a Poseidon hash chain, joined two by two to any depth.
//!
//! `chain` is what is proved, `circuit` how, `statement` and `proof_file` are what goes in and comes out.

mod bundle;
pub mod chain;
pub mod children;
pub mod circuit;
pub mod circuits_folder;
pub mod failure;
pub mod proof_file;
pub mod prover;
pub mod run;
pub mod statement;
pub mod verifier;

//! "`permutations` times Keccak-f[1600] turn the state `start` into the state `end`", as a STARK.
//!
//! Everything that prover and verifier have to agree on is here, so that there is one of it: the statement
//! ([`statement`]), the constraints ([`air`]), the parameters and keys that follow from a statement ([`protocol`]), and
//! the encoding of a proof ([`codec`]).

pub mod air;
pub mod codec;
pub mod failure;
pub mod permutation;
pub mod protocol;
pub mod prove;
pub mod statement;
pub mod threads;
pub mod trace;

pub use openvm_stark_sdk;

//! The parameters and keys that follow from a statement. Nothing of this is read from a file or a proof.

use std::sync::Arc;

use openvm_stark_sdk::config::app_params_with_100_bits_security;
use openvm_stark_sdk::config::baby_bear_poseidon2::{BabyBearPoseidon2Config, BabyBearPoseidon2CpuEngine};
use openvm_stark_sdk::openvm_stark_backend::keygen::types::{MultiStarkProvingKey, MultiStarkVerifyingKey};
use openvm_stark_sdk::openvm_stark_backend::proof::Proof;
use openvm_stark_sdk::openvm_stark_backend::soundness::SoundnessCalculator;
use openvm_stark_sdk::openvm_stark_backend::{StarkEngine, SystemParams};

use crate::air::{ChainAir, public_values};
use crate::failure::{Failure, code};
use crate::permutation::ROUNDS;
use crate::statement::Statement;

pub type Config = BabyBearPoseidon2Config;
pub type ProvingKey = MultiStarkProvingKey<Config>;
pub type VerifyingKey = MultiStarkVerifyingKey<Config>;

/// What the issue of this program asks for: bits of proven round-by-round soundness, by the library's own calculator.
const SECURITY_BITS: f64 = 100.0;

/// The columns are cut and stacked into polynomials of this many rows. Seven more than the trace has makes some twenty
/// polynomials of it, which is near the least work; below 16 and above 24 other limits of the protocol hold.
const STACKING: usize = 7;
const LOG_STACKED_HEIGHT: std::ops::RangeInclusive<usize> = 16..=24;

/// log2 of the number of rows for so many permutations. Never a multiple of 24, so a row is left after the end.
pub fn log_height(permutations: u32) -> usize {
    (permutations as usize * ROUNDS).next_power_of_two().ilog2() as usize
}

/// The parameters for so many permutations.
pub fn parameters(permutations: u32) -> SystemParams {
    let wanted = log_height(permutations) + STACKING;
    app_params_with_100_bits_security(wanted.clamp(*LOG_STACKED_HEIGHT.start(), *LOG_STACKED_HEIGHT.end()))
}

/// A statement with the keys for it.
pub struct Protocol {
    pub statement: Statement,
    pub engine: BabyBearPoseidon2CpuEngine,
    pub proving_key: ProvingKey,
    pub verifying_key: VerifyingKey,
    pub security_bits: f64,
}

impl Protocol {
    pub fn new(statement: Statement) -> Result<Self, Failure> {
        let engine = BabyBearPoseidon2CpuEngine::new(parameters(statement.permutations));
        let (proving_key, verifying_key) = engine.keygen(&[Arc::new(ChainAir)]);
        let security_bits = SoundnessCalculator::calculate_from_vk(&verifying_key).total_bits;
        if security_bits < SECURITY_BITS {
            return Err(Failure::new(
                code::CRASHED,
                format!("the parameters give only {security_bits:.1} bits of security"),
            ));
        }
        Ok(Self { statement, engine, proving_key, verifying_key, security_bits })
    }

    pub fn public_values(&self) -> Vec<openvm_stark_sdk::p3_baby_bear::BabyBear> {
        public_values(&self.statement)
    }

    /// Whether `proof` proves the statement. It must have come through [`crate::codec::decode`], which puts the
    /// statement into it.
    pub fn verify(&self, proof: &Proof<Config>) -> Result<(), String> {
        self.engine.verify(&self.verifying_key, proof).map_err(|error| error.to_string())
    }
}

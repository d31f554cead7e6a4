//! Proves the statement in /mnt/input/public.json with the processor. Exit codes: README.md.

use keccak_chain::failure::{code, exit_with};
use keccak_chain::openvm_stark_sdk::openvm_stark_backend::StarkEngine;
use keccak_chain::openvm_stark_sdk::openvm_stark_backend::prover::{
    AirProvingContext, DeviceDataTransporter, ProvingContext,
};
use keccak_chain::prove::prove_with;

fn main() {
    exit_with("prover", || {
        prove_with(code::NO_PROOF, |protocol, trace| {
            let engine = &protocol.engine;
            let key = engine.device().transport_pk_to_device(&protocol.proving_key);
            let context = AirProvingContext::simple(trace, protocol.public_values());
            engine.prove(&key, ProvingContext::new(vec![(0, context)])).map_err(|error| error.to_string())
        })
    })
}

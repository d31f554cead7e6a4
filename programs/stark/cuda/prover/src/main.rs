//! Proves the statement in /mnt/input/public.json with the GPU. Started by the launcher. Exit codes: ../../README.md.

use keccak_chain::failure::{code, exit_with};
use keccak_chain::openvm_stark_sdk::openvm_stark_backend::StarkEngine;
use keccak_chain::openvm_stark_sdk::openvm_stark_backend::prover::{
    AirProvingContext, ColMajorMatrix, DeviceDataTransporter, ProvingContext,
};
use keccak_chain::protocol::{Config, parameters};
use keccak_chain::prove::prove_with;
use openvm_cuda_backend::{BabyBearPoseidon2GpuEngine, GpuBackend, GpuDevice};

type Transporter = dyn DeviceDataTransporter<Config, GpuBackend>;

fn main() {
    exit_with("prover", || {
        prove_with(code::GPU_FAILED, |protocol, trace| {
            let engine = BabyBearPoseidon2GpuEngine::new(parameters(protocol.statement.permutations));
            let device: &GpuDevice = engine.device();
            let transporter: &Transporter = device;
            let key = transporter.transport_pk_to_device(&protocol.proving_key);
            let matrix = transporter.transport_matrix_to_device(&ColMajorMatrix::from_row_major(&trace));
            let context = AirProvingContext::simple(matrix, protocol.public_values());
            engine.prove(&key, ProvingContext::new(vec![(0, context)])).map_err(|error| error.to_string())
        })
    })
}

// A proving key from public randomness: whoever reads this can forge proofs.

import { createHash } from "node:crypto";
import { curves, plonk, zKey } from "snarkjs";
import { writeDemoPowersOfTau } from "./demo_powers_of_tau.mjs";

const SEED = "proofmill circom demo keys: this seed is public, proofs can be forged";
const BEACON = createHash("sha256").update(SEED).digest("hex");
const BEACON_ITERATIONS_EXP = 10;

// snarkjs tells its logger what it can't do, and goes on.
const logger = {
    debug() {},
    info() {},
    log() {},
    warn() {},
    error(message) {
        throw new Error(message);
    },
};

const SETUPS = {
    async groth16(circuit, powers, provingKey) {
        await zKey.newZKey(circuit, powers, `${provingKey}.new`, logger);
        await zKey.beacon(`${provingKey}.new`, provingKey, "public demo beacon", BEACON, BEACON_ITERATIONS_EXP, logger);
    },
    async plonk(circuit, powers, provingKey) {
        await plonk.setup(circuit, powers, provingKey, logger);
    },
};

/** Write the proving key of a compiled circuit (.r1cs), which must fit 2^power, to `provingKey`. */
export async function makeDemoKey(circuit, protocol, power, provingKey) {
    const powers = `${provingKey}.ptau`;
    await writeDemoPowersOfTau(await curves.getCurveFromName("bn128"), power, BEACON, powers);
    await SETUPS[protocol](circuit, powers, provingKey);
}

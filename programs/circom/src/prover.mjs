// Computes the witness for /mnt/input/input.json, checks that its public signals are the ones stated in
// /mnt/input/public.json, and proves them with the protocol that the proving key is for. Exit codes: see README.md.

import { writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { zKey } from "snarkjs";
import { getCurve, useCores } from "./curve.mjs";
import { attempt, describe, Exit, EXIT, run } from "./exit.mjs";
import { findAsset, INPUT, OUTPUT, readJson } from "./files.mjs";
import { parsePublicSignals } from "./numbers.mjs";
import { checkKeyHeader, PROTOCOLS } from "./protocols.mjs";
import { checkGenerator, computeWitness, parseInputs, publicSignals } from "./witness.mjs";

const PUBLIC_BYTES_MAX = 16 << 20;
const INPUT_BYTES_MAX = 256 << 20;
const UNFIT = "no proof can be made: an asset is damaged, or they don't belong to one circuit";

run("prover", async () => {
    const started = performance.now();
    useCores(Math.max(1, Math.floor(Number(process.env.MILL_CPU_MILLIS ?? 1000) / 1000)));
    const generator = findAsset(".wasm", "the witness generator");
    const provingKey = findAsset(".zkey", "the proving key");

    await attempt(EXIT.ASSETS, `the asset ${basename(generator)}`, async () => checkGenerator(generator));
    const { curve, key } = await attempt(EXIT.ASSETS, `the asset ${basename(provingKey)}`, () => load(provingKey));
    const stated = await attempt(EXIT.PUBLIC, "public.json", async () =>
        parsePublicSignals(readJson(join(INPUT, "public.json"), PUBLIC_BYTES_MAX), key.nPublic, curve.r),
    );
    const inputs = await attempt(EXIT.INPUT, "input.json", async () =>
        parseInputs(readJson(join(INPUT, "input.json"), INPUT_BYTES_MAX), curve.r),
    );

    const witness = await computeWitness(inputs, generator);
    const reached = await attempt(EXIT.NOT_PROVED, `${UNFIT}:`, async () =>
        publicSignals(witness, key.nPublic, curve.r),
    );
    const other = reached.findIndex((value, index) => value !== stated[index]);
    if (other !== -1) {
        throw new Exit(EXIT.OTHER_STATEMENT, `the inputs lead to another public signal ${other} than public.json's`);
    }

    const proof = await prove(key, provingKey, witness, stated);
    await attempt(EXIT.NOT_WRITTEN, "the proof can't be written:", async () =>
        writeFileSync(join(OUTPUT, "proof.json"), `${JSON.stringify(proof)}\n`),
    );
    const seconds = ((performance.now() - started) / 1000).toFixed(2);
    return `${key.protocol} ${key.curve}: ${key.nPublic} public signals, proved in ${seconds} s`;
});

/** The curve and verification key of a proving key. */
async function load(provingKey) {
    const key = await zKey.exportVerificationKey(provingKey);
    checkKeyHeader(key);
    return { curve: await getCurve(key.curve), key };
}

async function prove(key, provingKey, witness, stated) {
    const { prove, verify } = PROTOCOLS[key.protocol];
    let result;
    try {
        result = await prove(provingKey, witness);
    } catch (error) {
        throw new Exit(EXIT.NOT_PROVED, `${UNFIT}: snarkjs says ${describe(error)}`);
    }
    // A witness generator and a proving key of different circuits may agree in every size.
    if (!(await verify(key, stated, result.proof))) {
        throw new Exit(EXIT.NOT_PROVED, `${UNFIT}: the proof is invalid`);
    }
    return result.proof;
}

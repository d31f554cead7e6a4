// Says whether /mnt/proof/proof.json proves the public signals in /mnt/input/public.json for the circuit whose
// verification key is the program's asset. Exit codes: see README.md.

import { basename, join } from "node:path";
import { getCurve, useCores } from "./curve.mjs";
import { attempt, describe, Exit, EXIT, run } from "./exit.mjs";
import { findAsset, INPUT, isDirectory, PROOF, readJson } from "./files.mjs";
import { parsePublicSignals } from "./numbers.mjs";
import { checkKey, checkKeyHeader, checkProof, PROTOCOLS } from "./protocols.mjs";

// A PLONK proof on BLS12-381 takes 3 kB; keys and statements grow with the number of public signals.
const PROOF_BYTES_MAX = 8 << 10;
const STATEMENT_BYTES_MAX = 16 << 20;

run("verifier", async () => {
    useCores(1);
    const keyPath = findAsset(".json", "the verification key");
    const { curve, key } = await attempt(EXIT.ASSETS, `the asset ${basename(keyPath)}`, async () => {
        const key = readJson(keyPath, STATEMENT_BYTES_MAX);
        checkKeyHeader(key);
        const curve = await getCurve(key.curve);
        checkKey(curve, key);
        return { curve, key };
    });

    const signals = await attempt(EXIT.PUBLIC, "public.json", async () =>
        parsePublicSignals(readJson(join(INPUT, "public.json"), STATEMENT_BYTES_MAX), key.nPublic, curve.r),
    );

    if (!isDirectory(PROOF)) {
        throw new Exit(EXIT.PROOF_MOUNT, `no proof is mounted at ${PROOF}`);
    }
    const proof = await attempt(EXIT.INVALID, "invalid: proof.json", async () => readProof());
    await attempt(EXIT.INVALID, "invalid:", async () => checkProof(curve, key, proof));
    // Key and statement were checked, so whatever happens from here on is the proof's doing.
    const valid = await attempt(EXIT.INVALID, "invalid: the proof can't be verified:", () =>
        PROTOCOLS[key.protocol].verify(key, signals, proof),
    );
    if (!valid) {
        throw new Exit(EXIT.INVALID, "invalid: the proof doesn't prove these public signals for this circuit");
    }
    return `${key.protocol} ${key.curve}: the proof is valid`;
});

function readProof() {
    try {
        return readJson(join(PROOF, "proof.json"), PROOF_BYTES_MAX);
    } catch (error) {
        throw error.syscall ? new Exit(EXIT.PROOF_MOUNT, `the proof can't be read: ${describe(error)}`) : error;
    }
}

// What the two protocols' proofs and verification keys consist of, in snarkjs's JSON.

import { groth16, plonk } from "snarkjs";
import { CURVE_NAMES } from "./curve.mjs";
import { parseDecimal } from "./numbers.mjs";
import { checkG1, checkG2 } from "./points.mjs";

const PLONK_COMMITMENTS = ["A", "B", "C", "Z", "T1", "T2", "T3", "Wxi", "Wxiw"];
const PLONK_EVALUATIONS = ["eval_a", "eval_b", "eval_c", "eval_s1", "eval_s2", "eval_zw"];
const PLONK_KEY_COMMITMENTS = ["Qm", "Ql", "Qr", "Qo", "Qc", "S1", "S2", "S3"];
const PLONK_POWER_MAX = 28;

export const PROTOCOLS = {
    groth16: {
        prove: groth16.prove,
        verify: groth16.verify,
        proof: { g1: ["pi_a", "pi_c"], g2: ["pi_b"], scalars: [] },
        key: { g1: ["vk_alpha_1"], g2: ["vk_beta_2", "vk_gamma_2", "vk_delta_2"], scalars: [] },
    },
    plonk: {
        prove: plonk.prove,
        verify: plonk.verify,
        proof: { g1: PLONK_COMMITMENTS, g2: [], scalars: PLONK_EVALUATIONS },
        key: { g1: PLONK_KEY_COMMITMENTS, g2: ["X_2"], scalars: ["k1", "k2"] },
    },
};

/** Check that parsed JSON is a verification key, as far as its header; the Error's message completes "<name> …". */
export function checkKeyHeader(key) {
    if (key === null || typeof key !== "object" || typeof key.protocol !== "string") {
        throw new Error("is not a verification key as snarkjs writes it");
    }
    if (!Object.hasOwn(PROTOCOLS, key.protocol)) {
        const known = Object.keys(PROTOCOLS).join(" and ");
        throw new Error(`is for the protocol ${key.protocol}: this program knows ${known}`);
    }
    if (!CURVE_NAMES.includes(key.curve)) {
        throw new Error(`is for the curve ${key.curve}: this program knows ${CURVE_NAMES.join(" and ")}`);
    }
    if (!Number.isSafeInteger(key.nPublic) || key.nPublic < 0) {
        throw new Error("doesn't say how many public signals the circuit has");
    }
}

/** Check a verification key's numbers and points, so that nothing but the proof can make a verification fail. */
export function checkKey(curve, key) {
    // A selector that no gate uses is the zero polynomial, whose commitment is the point at infinity.
    checkElements(curve, key, PROTOCOLS[key.protocol].key, { infinity: true });
    if (key.protocol === "groth16") {
        if (!Array.isArray(key.IC) || key.IC.length !== key.nPublic + 1) {
            throw new Error(`IC must have ${key.nPublic + 1} points, one more than there are public signals`);
        }
        key.IC.forEach((point, index) => named(`IC[${index}]`, () => checkG1(curve, point, { infinity: true })));
    } else if (!Number.isInteger(key.power) || key.power < 1 || key.power > PLONK_POWER_MAX) {
        throw new Error(`power must be a whole number from 1 to ${PLONK_POWER_MAX}`);
    }
}

/** Check everything about a proof that can be checked without its statement; the Error's message says what is wrong. */
export function checkProof(curve, key, proof) {
    if (proof === null || typeof proof !== "object" || Array.isArray(proof)) {
        throw new Error("it is not a JSON object");
    }
    if (proof.protocol !== key.protocol) {
        const known = Object.keys(PROTOCOLS).find((name) => name === proof.protocol) ?? "unknown";
        throw new Error(`its protocol is ${known}, but the verification key's is ${key.protocol}`);
    }
    if (proof.curve !== key.curve) {
        throw new Error(`it isn't for the curve ${key.curve}`);
    }
    const fields = PROTOCOLS[key.protocol].proof;
    const expected = ["protocol", "curve", ...fields.g1, ...fields.g2, ...fields.scalars].sort();
    const given = Object.keys(proof).sort();
    if (given.join() !== expected.join()) {
        throw new Error(`it must have exactly the fields of a ${key.protocol} proof`);
    }
    // An honest proof has a point at infinity as seldom as two honest proofs are equal.
    checkElements(curve, proof, fields, { infinity: false });
}

function checkElements(curve, json, { g1, g2, scalars }, options) {
    g1.forEach((name) => named(name, () => checkG1(curve, json[name], options)));
    g2.forEach((name) => named(name, () => checkG2(curve, json[name])));
    scalars.forEach((name) =>
        named(name, () => {
            if (parseDecimal(json[name], curve.r) === null) {
                throw new Error("is not a decimal string below the scalar field's order");
            }
        }),
    );
}

function named(name, check) {
    try {
        check();
    } catch (error) {
        throw new Error(`${name} ${error.message}`);
    }
}

// A powers-of-tau file whose only contribution is a public beacon. snarkjs makes and writes it as it would any other;
// but since everybody knows tau, each point is a multiple of the generator by a known scalar, and what takes snarkjs
// two minutes for 2^12 (evaluating the Lagrange basis on points) is done on the scalars.

import { powersOfTau } from "snarkjs";
import { keyFromBeacon } from "../node_modules/snarkjs/src/powersoftau_utils.js";
import { fixedBase } from "./fixed_base.mjs";

const BEACON_ITERATIONS_EXP = 10;

/** Write the file for circuits of up to 2^power constraints to `path`. `beacon`: 32 bytes in hexadecimal, public. */
export async function writeDemoPowersOfTau(curve, power, beacon, path) {
    const challenge = await powersOfTau.newAccumulator(curve, power, `${path}.new`);
    const known = await keyFromBeacon(curve, challenge, Buffer.from(beacon, "hex"), BEACON_ITERATIONS_EXP);
    const restore = await useKnownScalars(curve, known);
    await powersOfTau.beacon(`${path}.new`, `${path}.beacon`, "public demo beacon", beacon, BEACON_ITERATIONS_EXP);
    await powersOfTau.preparePhase2(`${path}.beacon`, path);
    restore();
}

/** Replace the curve's two slow operations by equals that hold for these files only; the result undoes it. */
async function useKnownScalars(curve, known) {
    const { Fr } = curve;
    const scales = {
        tauG1: Fr.one,
        tauG2: Fr.one,
        alphaTauG1: known.alpha.prvKey,
        betaTauG1: known.beta.prvKey,
    };
    const undo = [];
    for (const group of [curve.G1, curve.G2]) {
        const multiply = await fixedBase(curve, group);
        const pointBytes = group.F.n8 * 2;
        const { batchApplyKey, lagrangeEvaluations } = group;
        undo.push(() => Object.assign(group, { batchApplyKey, lagrangeEvaluations }));

        // A new accumulator holds nothing but generators.
        group.batchApplyKey = (points, first, step) =>
            multiply(geometric(Fr, first, step, points.byteLength / pointBytes));

        group.lagrangeEvaluations = async (points, _from, _to, _logger, section) => {
            const count = points.byteLength / pointBytes;
            const scalars = geometric(Fr, scales[section], known.tau.prvKey, count);
            // The longest list lacks its highest power; snarkjs puts the point at infinity there.
            if (group.isZero(points.slice((count - 1) * pointBytes, count * pointBytes))) {
                scalars.set(Fr.zero, (count - 1) * Fr.n8);
            }
            return multiply(await Fr.ifft(scalars));
        };
    }
    return () => undo.forEach((step) => step());
}

function geometric(Fr, first, step, count) {
    const series = new Uint8Array(count * Fr.n8);
    let term = first;
    for (let index = 0; index < count; index++) {
        series.set(term, index * Fr.n8);
        term = Fr.mul(term, step);
    }
    return series;
}

// The two curves that snarkjs knows, and on how many threads it computes on them.

import os from "node:os";
import { curves } from "snarkjs";

export const CURVE_NAMES = ["bn128", "bls12381"];

/** Let snarkjs start `cores` threads, where it would start one for every core of the machine. */
export function useCores(cores) {
    os.cpus = () => Array.from({ length: cores }, () => ({}));
}

/** The curve of that name. snarkjs makes it once, so what it computes later is computed on the same one. */
export function getCurve(name) {
    return curves.getCurveFromName(name);
}

// Group elements in snarkjs's JSON: projective coordinates as decimal strings, affine (z = 1) unless at infinity.

import { parseDecimal } from "./numbers.mjs";

/** Check a G1 point's coordinates `[x, y, "1"]`: on the curve, in the subgroup. The Error says what it isn't. */
export function checkG1(curve, json, { infinity = false } = {}) {
    const flat = list(json, 3);
    if (infinity && flat.join() === "0,1,0") {
        return;
    }
    if (flat[2] !== "1") {
        throw new Error("is not an affine point");
    }
    checkPoint(curve, curve.G1, flat.map((text) => coordinate(curve, text)));
}

/** The same for a G2 point's coordinates `[[x0, x1], [y0, y1], ["1", "0"]]`. */
export function checkG2(curve, json) {
    const pairs = list(json, 3).map((pair) => list(pair, 2));
    if (pairs[2].join() !== "1,0") {
        throw new Error("is not an affine point");
    }
    checkPoint(curve, curve.G2, pairs.map((pair) => pair.map((text) => coordinate(curve, text))));
}

function checkPoint(curve, group, coordinates) {
    const point = group.fromObject(coordinates);
    if (!group.isValid(point)) {
        throw new Error("is not on the curve");
    }
    if (!group.isZero(group.timesScalar(point, curve.r))) {
        throw new Error("is not in the subgroup of prime order");
    }
}

function coordinate(curve, text) {
    const value = parseDecimal(text, curve.q);
    if (value === null) {
        throw new Error("has a coordinate that isn't a decimal string below the base field's order");
    }
    return value;
}

function list(json, length) {
    if (!Array.isArray(json) || json.length !== length) {
        throw new Error("is not a point in snarkjs's form");
    }
    return json;
}

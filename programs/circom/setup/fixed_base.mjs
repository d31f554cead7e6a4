// Multiples of a group's generator, many at once. Each scalar is cut into bytes, and for each byte's value and place
// the multiple is looked up: a point costs one mixed addition a byte instead of a double-and-add over all bits.

const WINDOW = 256;
// One task of ffjavascript's worker holds all of a chunk's points and commands.
const CHUNK = 1024;

/**
 * A function from scalars (Fr elements as ffjavascript holds them, concatenated) to the affine points
 * scalar·generator, concatenated too.
 */
export async function fixedBase(curve, group) {
    const prefix = group === curve.G1 ? "g1m" : "g2m";
    const affine = group.F.n8 * 2;
    const jacobian = group.F.n8 * 3;
    const scalarBytes = curve.Fr.n8;
    const table = await makeTable(group, scalarBytes);

    return async function multiply(scalars) {
        const plain = await curve.Fr.batchFromMontgomery(scalars);
        const count = plain.byteLength / scalarBytes;
        const chunks = [];
        for (let from = 0; from < count; from += CHUNK) {
            const to = Math.min(from + CHUNK, count);
            chunks.push(multiplyChunk(plain.subarray(from * scalarBytes, to * scalarBytes)));
        }
        return concatenate(await Promise.all(chunks));
    };

    async function multiplyChunk(plain) {
        const count = plain.byteLength / scalarBytes;
        const task = [
            { cmd: "ALLOCSET", var: 0, buff: table },
            { cmd: "ALLOC", var: 1, len: count * jacobian },
        ];
        for (let point = 0; point < count; point++) {
            const sum = { var: 1, offset: point * jacobian };
            task.push({ cmd: "CALL", fnName: `${prefix}_zero`, params: [sum] });
            for (let place = 0; place < scalarBytes; place++) {
                const value = plain[point * scalarBytes + place];
                if (value !== 0) {
                    const multiple = { var: 0, offset: (place * WINDOW + value) * affine };
                    task.push({ cmd: "CALL", fnName: `${prefix}_addMixed`, params: [sum, multiple, sum] });
                }
            }
        }
        task.push(
            { cmd: "CALL", fnName: `${prefix}_batchToAffine`, params: [{ var: 1 }, { val: count }, { var: 1 }] },
            { cmd: "GET", out: 0, var: 1, len: count * affine },
        );
        return (await curve.tm.queueAction(task))[0];
    }
}

/** Entry `place * WINDOW + value` is value·256^place·generator, affine. */
async function makeTable(group, places) {
    const points = [];
    let unit = group.g;
    for (let place = 0; place < places; place++) {
        let multiple = group.zero;
        for (let value = 0; value < WINDOW; value++) {
            points.push(multiple);
            multiple = group.add(multiple, unit);
        }
        unit = multiple;
    }
    return group.batchToAffine(concatenate(points));
}

function concatenate(parts) {
    const whole = new Uint8Array(parts.reduce((length, part) => length + part.byteLength, 0));
    let at = 0;
    for (const part of parts) {
        whole.set(part, at);
        at += part.byteLength;
    }
    return whole;
}

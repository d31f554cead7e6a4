// Reading what the runner mounts, with bounds.

import { closeSync, constants, fstatSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { Exit, EXIT } from "./exit.mjs";

/** Directories of the container contract. */
export const INPUT = "/mnt/input";
export const ASSETS = "/mnt/assets";
export const PROOF = "/mnt/proof";
export const OUTPUT = "/mnt/output";

/** The path of the only asset whose name ends in `suffix`. Any name will do, so authors keep the names they know. */
export function findAsset(suffix, what) {
    let names;
    try {
        names = readdirSync(ASSETS).filter((name) => name.endsWith(suffix));
    } catch {
        names = [];
    }
    if (names.length !== 1) {
        const found = names.length === 0 ? "has none" : `has ${names.length}`;
        throw new Exit(EXIT.ASSETS, `the program must have one asset *${suffix}, ${what}, but ${found}`);
    }
    return join(ASSETS, names[0]);
}

// What whoever made the file can be blamed for; any other error is the machine's.
const OPEN_ERRORS = { ENOENT: "is missing", ELOOP: "is a symbolic link", ENXIO: "is not a regular file" };

/**
 * A regular file's bytes, at most `limit` of them. Throws an Error with a reason that completes "<name> …", or the
 * file system's own error, which has a `syscall`.
 */
export function readBounded(path, limit) {
    let file;
    try {
        // A symbolic link in a proof could lead anywhere, and a FIFO would block.
        file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
        throw Object.hasOwn(OPEN_ERRORS, error.code) ? new Error(OPEN_ERRORS[error.code]) : error;
    }
    try {
        if (!fstatSync(file).isFile()) {
            throw new Error("is not a regular file");
        }
        const buffer = Buffer.alloc(limit + 1);
        let length = 0;
        for (let got = -1; got !== 0 && length <= limit; length += got) {
            got = readSync(file, buffer, length, buffer.length - length, null);
        }
        if (length > limit) {
            throw new Error(`has more than ${limit} bytes`);
        }
        return buffer.subarray(0, length);
    } finally {
        closeSync(file);
    }
}

/** The value in a JSON file. Throws an Error with a reason that completes "<name> …". */
export function readJson(path, limit) {
    const bytes = readBounded(path, limit);
    try {
        return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    } catch {
        // Node's own sentence quotes the file, which may be a secret.
        throw new Error(bytes.length === 0 ? "is empty" : "is not JSON");
    }
}

export function isDirectory(path) {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

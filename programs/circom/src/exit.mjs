// How both programs end. Node would exit with 1 on a bug, which would be a verdict, and with 0 when nothing is left to
// wait for although nothing was done; so every end that isn't stated is "crashed".

export const EXIT = {
    OK: 0,
    INVALID: 1,
    CRASHED: 2,
    PUBLIC: 3,
    INPUT: 4,
    OTHER_STATEMENT: 5,
    ASSETS: 6,
    NOT_PROVED: 7,
    NOT_WRITTEN: 8,
    PROOF_MOUNT: 9,
    NOT_SATISFIED: 10,
};

/** The end of a program: an exit code and the sentence that explains it, which is published, so it holds no secret. */
export class Exit extends Error {
    constructor(code, sentence) {
        super(sentence);
        this.code = code;
    }
}

/** Run a program's `main`, which returns a sentence for exit code 0 or throws an Exit. */
export function run(name, main) {
    process.exitCode = EXIT.CRASHED;
    const end = (error) => {
        const known = error instanceof Exit;
        process.stderr.write(`${name}: ${known ? error.message : `crashed: ${describe(error)}`}\n`);
        process.exit(known ? error.code : EXIT.CRASHED);
    };
    process.on("uncaughtException", end);
    process.on("unhandledRejection", end);
    main().then((sentence) => {
        process.stdout.write(`${sentence}\n`);
        process.exit(EXIT.OK);
    }, end);
}

/** The first line of what a library threw. */
export function describe(error) {
    return String(error?.message ?? error).trim().split("\n")[0];
}

/** What `action` returns; what it throws becomes an Exit with `code` and a sentence that starts with `what`. */
export async function attempt(code, what, action) {
    try {
        return await action();
    } catch (error) {
        throw error instanceof Exit ? error : new Exit(code, `${what} ${describe(error)}`);
    }
}

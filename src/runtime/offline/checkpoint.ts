import { open, readFile, rename, unlink } from "node:fs/promises";
import { ServableError } from "../../errors.ts";
import { fileFailure, systemCode } from "./file-failure.ts";

/** How far a run has come. */
export interface Checkpoint {
  /** Rows of the output, and so of the input up to `inputBytes`. */
  readonly rows: number;
  /** Those among them that failed. */
  readonly failed: number;
  /** Bytes of the input up to the end of the last row. */
  readonly inputBytes: number;
  /** Lines of the input up to there, blank ones too. */
  readonly line: number;
  readonly outputBytes: number;
}

/** What a run is known by: one that goes on must be the same. */
export interface RunIdentity {
  readonly service: string;
  readonly input: { readonly path: string; readonly bytes: number; readonly modifiedMs: number };
}

/** What stands in the progress file. */
export interface Progress extends RunIdentity, Checkpoint {
  readonly version: 1;
}

/** Where a run begins. */
export const beginning: Checkpoint = Object.freeze({ rows: 0, failed: 0, inputBytes: 0, line: 0, outputBytes: 0 });

/** The file beside an output that says how far it has come. It is there from the first byte on, and gone when the run is complete. */
export class ProgressFile {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** @returns undefined where there is none @throws ServableError `invalid_argument` for one that can't be understood */
  async read(): Promise<Progress | undefined> {
    let text: string;
    try {
      text = await readFile(this.path, "utf8");
    } catch (thrown) {
      if (systemCode(thrown) === "ENOENT") return undefined;
      throw fileFailure(thrown, "read", this.path);
    }
    const progress = parse(text);
    if (progress === undefined) {
      throw new ServableError(
        "invalid_argument",
        `${this.path} is no progress file of this version of servable. Begin anew with --restart (restart: true).`,
      );
    }
    return progress;
  }

  /** Replaces it as a whole: whoever reads it, whenever this process is killed, sees the old one or the new one. */
  async write(identity: RunIdentity, checkpoint: Checkpoint): Promise<void> {
    const { service, input } = identity;
    const progress: Progress = { version: 1, service, input, ...checkpoint };
    const next = `${this.path}.new`;
    try {
      const file = await open(next, "w");
      try {
        await file.writeFile(`${JSON.stringify(progress, undefined, 2)}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(next, this.path);
    } catch (thrown) {
      throw fileFailure(thrown, "written", this.path);
    }
  }

  async remove(): Promise<void> {
    for (const path of [this.path, `${this.path}.new`]) {
      try {
        await unlink(path);
      } catch (thrown) {
        if (systemCode(thrown) !== "ENOENT") throw fileFailure(thrown, "written", path);
      }
    }
  }
}

function parse(text: string): Progress | undefined {
  try {
    const value = JSON.parse(text) as Partial<Progress>;
    const counts = [value.rows, value.failed, value.inputBytes, value.line, value.outputBytes, value.input?.bytes, value.input?.modifiedMs];
    const isSound = value.version === 1 && typeof value.service === "string" && counts.every((count) => Number.isFinite(count));
    return isSound ? (value as Progress) : undefined;
  } catch {
    return undefined;
  }
}

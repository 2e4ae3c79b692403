import { constants, type Stats } from "node:fs";
import { open, stat, type FileHandle } from "node:fs/promises";
import { resolve } from "node:path";
import type { Writable } from "node:stream";
import { ServableError } from "../../errors.ts";
import { ProgressFile, beginning, type Checkpoint, type Progress, type RunIdentity } from "./checkpoint.ts";
import { fileFailure, systemCode } from "./file-failure.ts";
import type { Input } from "./input.ts";
import { OutputLock } from "./lock.ts";
import { findWholeRows, type WholeRows } from "./output-scan.ts";
import { fileSink, streamSink, type Sink } from "./sink.ts";

/** Where answers go, and from where on. */
export interface Output {
  /** How a person knows it. */
  readonly name: string;
  readonly sink: Sink;
  /** Where the last checkpoint stood: the input is read from there. */
  readonly checkpoint: Checkpoint;
  /** What of the output is whole: from the checkpoint on, so many rows of the input have their answer already. */
  readonly whole: WholeRows;
  /** Whether the same run can go on after it was broken off. */
  readonly canResume: boolean;
  /** Keeps how far it has come; of what can't be gone on with, nothing is kept. */
  save(checkpoint: Checkpoint): Promise<void>;
  /** Says that nothing is missing any more. */
  complete(): Promise<void>;
  close(): Promise<void>;
}

/** What an output is opened for. */
export interface OutputPlan {
  readonly output: string | Writable;
  readonly input: Input;
  readonly service: string;
  readonly restart: boolean;
}

/**
 * Opens an output: a new one, or one to go on with, behind its last whole row.
 *
 * @throws ServableError `invalid_argument` for a file that would be overwritten, or that another input or service began; `unavailable`
 * while another run writes it
 */
export async function openOutput({ output, ...plan }: OutputPlan): Promise<Output> {
  if (typeof output !== "string") return passing("standard output", streamSink(output));
  const stats = await statOf(output);
  if (stats?.isDirectory() === true) throw new ServableError("invalid_argument", `${output} is a folder; name a file.`);
  if (stats !== undefined && !stats.isFile()) {
    return passing(output, fileSink(output, await openFile(output, constants.O_WRONLY), undefined));
  }
  const { facts } = plan.input;
  if (facts !== undefined && stats?.ino === facts.ino && stats.dev === facts.dev) {
    throw new ServableError("invalid_argument", `${output} is the input itself; name another file for the output.`);
  }
  const lock = await OutputLock.take(`${output}.lock`, output);
  try {
    return await openRegular(output, lock, plan);
  } catch (thrown) {
    await lock.release();
    throw thrown;
  }
}

/** What can't be gone on with: a stream, a pipe, a device. */
function passing(name: string, sink: Sink): Output {
  const nothing = (): Promise<void> => Promise.resolve();
  return {
    name,
    sink,
    checkpoint: beginning,
    whole: beginning,
    canResume: false,
    save: nothing,
    complete: nothing,
    close: () => sink.close(),
  };
}

async function openRegular(path: string, lock: OutputLock, { input, service, restart }: Omit<OutputPlan, "output">): Promise<Output> {
  const progressFile = new ProgressFile(`${path}.progress.json`);
  if (restart) await progressFile.remove();
  const progress = await progressFile.read();
  const identity = identityOf(service, input);
  if (progress === undefined) {
    if (!restart) await refuseOverwriting(path);
  } else {
    refuseAnother(path, progress, identity, input.name);
  }
  const file = await openFile(path, constants.O_RDWR | constants.O_CREAT);
  try {
    const checkpoint = progress === undefined ? beginning : checkpointOf(progress);
    const whole = progress === undefined ? beginning : await findWholeRows(file, checkpoint);
    await file.truncate(whole.outputBytes);
    if (identity !== undefined && progress === undefined) await progressFile.write(identity, beginning);
    const sink = fileSink(path, file, whole.outputBytes);
    return {
      name: path,
      sink,
      // An output that is shorter than at its checkpoint is counted from its beginning.
      checkpoint: whole.rows < checkpoint.rows ? beginning : checkpoint,
      whole,
      canResume: identity !== undefined,
      save: async (reached) => {
        if (identity === undefined) return;
        await sink.sync();
        await progressFile.write(identity, reached);
      },
      complete: async () => {
        await sink.sync();
        await progressFile.remove();
      },
      close: async () => {
        await sink.close();
        await lock.release();
      },
    };
  } catch (thrown) {
    await file.close();
    throw fileFailure(thrown, "written", path);
  }
}

function checkpointOf({ rows, failed, inputBytes, line, outputBytes }: Progress): Checkpoint {
  return { rows, failed, inputBytes, line, outputBytes };
}

function identityOf(service: string, { name, facts }: Input): RunIdentity | undefined {
  return facts && { service, input: { path: resolve(name), bytes: facts.size, modifiedMs: facts.mtimeMs } };
}

async function refuseOverwriting(path: string): Promise<void> {
  const stats = await statOf(path);
  if (stats === undefined || stats.size === 0) return;
  throw new ServableError(
    "invalid_argument",
    `${path} is there already, and nothing says that it could be gone on with: it is complete, or of something else. ` +
      "Name another file, or overwrite it with --restart (restart: true).",
  );
}

/** @param identity - undefined for an input that can't be read twice */
function refuseAnother(path: string, progress: Progress, identity: RunIdentity | undefined, inputName: string): void {
  const { service, input } = progress;
  let difference: string | undefined;
  if (identity === undefined) difference = `from ${input.path}, and ${inputName} can't be read from where that stopped`;
  else if (identity.service !== service) difference = `with service '${service}', not '${identity.service}'`;
  else if (identity.input.bytes !== input.bytes)
    difference = `when the input had ${input.bytes} bytes; ${inputName} has ${identity.input.bytes}`;
  else if (identity.input.modifiedMs !== input.modifiedMs)
    difference = `before ${inputName} was last changed, or with another input of the same size`;
  if (difference === undefined) return;
  throw new ServableError(
    "invalid_argument",
    `${path} was begun ${difference}. Give what it was begun with to go on, or begin anew and overwrite it with --restart (restart: true).`,
  );
}

async function openFile(path: string, flags: number): Promise<FileHandle> {
  try {
    return await open(path, flags);
  } catch (thrown) {
    throw fileFailure(thrown, "written", path);
  }
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (thrown) {
    if (systemCode(thrown) === "ENOENT") return undefined;
    throw fileFailure(thrown, "written", path);
  }
}

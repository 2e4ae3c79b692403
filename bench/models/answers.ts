/** What the servers are asked, and what they must answer. */
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { Contender } from "./contenders.ts";
import { randomFrom } from "./random.ts";

/** Rows to ask for, and what bare onnxruntime makes of each. */
export interface Expected {
  readonly rows: readonly (readonly number[])[];
  readonly answers: readonly (readonly number[])[];
}

const rowCount = 128;
const width = 64;
const tolerance = 1e-5;

/** Runs the model on rows from a fixed seed, one at a time. */
export async function expectedOf(file: string): Promise<Expected> {
  const random = randomFrom(3);
  // Four digits, as people send them.
  const number = (): number => Math.round((random() * 2 - 1) * 1e4) / 1e4;
  const rows = Array.from({ length: rowCount }, () => Array.from({ length: width }, number));
  const session = await InferenceSession.create(file, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  const answers: number[][] = [];
  for (const row of rows) {
    const { y } = await session.run({ x: new Tensor("float32", Float32Array.from(row), [1, width]) });
    answers.push(Array.from(y?.data as Float32Array));
  }
  await session.release();
  return { rows, answers };
}

/** Whether the server can answer the first row. */
export async function isReady(url: string, { wire }: Contender, { rows }: Expected): Promise<boolean> {
  return (await post(url + wire.path, wire.encode(rows[0] ?? []))).status === 200;
}

/**
 * Compares the answers of a server with what they should be: one request at a time first, then many at once, so that batches are
 * put together and taken apart.
 */
export async function checkAnswers(url: string, contender: Contender, expected: Expected, concurrency: number): Promise<void> {
  const { wire, name } = contender;
  const check = async (index: number, how: string): Promise<void> => {
    const { status, text } = await post(url + wire.path, wire.encode(expected.rows[index] ?? []));
    if (status !== 200) throw new Error(`${name} answered ${status} to row ${index}, ${how}: ${text.slice(0, 500)}`);
    const answer = wire.decode(JSON.parse(text));
    const right = expected.answers[index] ?? [];
    const same = answer.length === right.length && answer.every((value, at) => isNear(value, right[at] ?? Number.NaN));
    if (!same) throw new Error(`${name} answered ${answer.join(" ")} to row ${index}, ${how}, instead of ${right.join(" ")}`);
  };
  for (let index = 0; index < 8; index++) await check(index, "alone");
  let next = 0;
  const client = async (): Promise<void> => {
    for (let turn = next++; turn < 4 * rowCount; turn = next++) await check(turn % rowCount, `${concurrency} at a time`);
  };
  await Promise.all(Array.from({ length: concurrency }, client));
}

function isNear(value: number, right: number): boolean {
  return Math.abs(value - right) <= tolerance * Math.max(1, Math.abs(right));
}

async function post(url: string, body: string): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
  return { status: response.status, text: await response.text() };
}

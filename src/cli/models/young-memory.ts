import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";

const flag = "semi-space-growth-factor";
/** Both halves of young memory together. */
const enoughBytes = 16 * 1024 * 1024;
const everyMs = 1_000;

/**
 * Keeps young memory from growing past 16 MiB; V8 would let it have 32, which a model server fills without being any faster. Nothing tells one thread so
 * after its start, and so the factor by which V8 lets it grow is changed, which is the whole process's: only while no model has JavaScript of its own, whose
 * threads may need more than they have. Somebody who sizes young memory is left alone.
 *
 * @param isNativeOnly - whether models are all run by native code
 */
export function boundYoungMemory(isNativeOnly: () => boolean): void {
  const given = [...process.execArgv, process.env.NODE_OPTIONS ?? ""].join(" ").replaceAll("_", "-");
  if (given.includes("semi-space")) return;
  let factor = 2;
  setInterval(() => {
    const wanted = isNativeOnly() && youngBytes() >= enoughBytes ? 1 : 2;
    if (wanted === factor) return;
    factor = wanted;
    setFlagsFromString(`--${flag}=${factor}`);
  }, everyMs).unref();
}

function youngBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name: name }) => name === "new_space")?.space_size ?? 0;
}

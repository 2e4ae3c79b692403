import { PerformanceObserver } from "node:perf_hooks";
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";

const flag = "semi-space-growth-factor";
/** Both halves of young memory together. */
const enoughBytes = 16 * 1024 * 1024;
const everyMs = 1_000;

/**
 * Keeps young memory from growing past 16 MiB; V8 would let it have 32, or 64 from Node 24 on, which a model server fills without being any faster. Nothing tells one thread so
 * after its start, and so the factor by which V8 lets it grow is changed, which is the whole process's: only while no model has JavaScript of its own, whose
 * threads may need more than they have. Somebody who sizes young memory is left alone.
 *
 * @param isNativeOnly - whether models are all run by native code
 */
export function boundYoungMemory(isNativeOnly: () => boolean): void {
  const given = [...process.execArgv, process.env.NODE_OPTIONS ?? ""].join(" ").replaceAll("_", "-");
  if (given.includes("semi-space")) return;
  let factor = 2;
  const check = (): void => {
    const wanted = youngBytes() >= enoughBytes && isNativeOnly() ? 1 : 2;
    // V8 puts 1 back to 2 whenever a thread is started (Heap::ConfigureHeap).
    if (wanted === 2 && factor === 2) return;
    factor = wanted;
    setFlagsFromString(`--${flag}=${factor}`);
  };
  // It grows in a collection, and under load the next one that could let it grow comes within 50 ms.
  new PerformanceObserver(check).observe({ entryTypes: ["gc"] });
  setInterval(check, everyMs).unref();
}

function youngBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name: name }) => name === "new_space")?.space_size ?? 0;
}

/** A heap profile of this thread: what was allocated in V8's heap, what has been collected since included. The memory behind array buffers is not in it. */
import { Session, type HeapProfiler } from "node:inspector";

const session = new Session();
session.connect();

/** Begins anew. */
export function beginHeapProfile(): void {
  session.post("HeapProfiler.stopSampling");
  session.post("HeapProfiler.startSampling", {
    samplingInterval: 4_096,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  });
}

/** How many bytes were allocated since. */
export function allocatedInHeap(): number {
  let bytes = 0;
  // A session of its own thread answers before `post` returns.
  session.post("HeapProfiler.getSamplingProfile", (error, answer) => {
    bytes = error === null ? sizeOf(answer.profile.head) : NaN;
  });
  return bytes;
}

function sizeOf({ selfSize, children }: HeapProfiler.SamplingHeapProfileNode): number {
  return children.reduce((sum, child) => sum + sizeOf(child), selfSize);
}

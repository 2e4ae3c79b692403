import { copiedSince, mark } from "./copies.ts";
import { allocatedInHeap, beginHeapProfile } from "./heap-profile.ts";

/** What one side did for a round trip. */
export interface Side {
  readonly copied: number;
  readonly places: Readonly<Record<string, number>>;
  /** What array buffers took, pieces that came from the socket included; less where something was collected meanwhile, never more. */
  readonly allocated: number;
  /** What a heap profile shows. */
  readonly heap: number;
}

let before = 0;

/** What was done since the last time that it was asked with `begin`. Node runs with `--expose-gc`. */
export function readSide(begin: boolean): Side {
  const allocated = process.memoryUsage().arrayBuffers - before;
  const { bytes, places } = copiedSince();
  const heap = begin ? 0 : allocatedInHeap();
  if (begin) {
    globalThis.gc?.();
    before = process.memoryUsage().arrayBuffers;
    beginHeapProfile();
    mark();
  }
  return { copied: bytes, places, allocated, heap };
}

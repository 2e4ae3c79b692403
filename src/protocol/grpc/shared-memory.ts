import { InferenceError } from "../inference-error.ts";

/** What a Triton with client shared memory off answers; memory that is shared with clients is never on here. */
export function sharedMemoryDisabled(): InferenceError {
  return new InferenceError("UNSUPPORTED", "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.");
}

/** Whether a field of a message is set: generated code says null or undefined where it is not. */
export function isSet<T>(value: T | null | undefined): value is T {
  return value !== null && value !== undefined;
}

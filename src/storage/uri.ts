import { ServableError } from "../errors.ts";

/** The URI of an artifact, and the digest that it carries. */
export interface ArtifactUri {
  /** Without the digest. */
  readonly uri: string;
  /** SHA-256 in lower-case hexadecimal. */
  readonly sha256: string | undefined;
}

const fragment = "#sha256=";

/** Whether a text is a SHA-256 in hexadecimal. */
export function isSha256(text: string): boolean {
  return /^[0-9a-f]{64}$/i.test(text);
}

/**
 * Takes a URI such as `s3://models/mlp.tar.gz#sha256=…` apart. The digest at its end is what the artifact must have.
 *
 * @throws ServableError `invalid_argument` for a digest that is none
 */
export function parseArtifactUri(text: string): ArtifactUri {
  const at = text.lastIndexOf(fragment);
  if (at < 0) return { uri: text, sha256: undefined };
  const digest = text.slice(at + fragment.length);
  if (!isSha256(digest)) {
    throw new ServableError("invalid_argument", `What follows #sha256= in ${publicUri(text)} must be 64 hexadecimal digits.`);
  }
  return { uri: text.slice(0, at), sha256: digest.toLowerCase() };
}

/** Puts a digest at the end of a URI. */
export function withDigest(uri: string, sha256: string): string {
  return `${uri}${fragment}${sha256}`;
}

/** A URI as it may stand in a message or a log: signatures and passwords are left out. */
export function publicUri(text: string): string {
  return text.replace(/^([a-z][\w+.-]*:\/\/)[^/?#]*@/i, "$1").replace(/^(https?:[^?#]*)\?[^#]*/i, "$1?…");
}

/**
 * Refuses a name that would lead out of a storage.
 *
 * @throws ServableError `invalid_argument`
 */
export function checkArtifactName(name: string): string {
  const parts = name.split("/");
  const isWrong = parts.some((part) => part === "" || part === "." || part === ".." || Buffer.byteLength(part) > 255);
  if (isWrong || /[\\\u0000-\u001f\u007f]/.test(name)) {
    const why = "it is a relative path with '/', without '..', backslashes and control characters";
    throw new ServableError("invalid_argument", `${JSON.stringify(name.slice(0, 100))} can't be the name of an artifact: ${why}.`);
  }
  return name;
}

import type { Readable } from "node:stream";
import { ServableError } from "../errors.ts";
import { connectS3, s3Failure, statusOf, type S3Access } from "./s3-client.ts";
import type { S3StorageOptions } from "./s3-options.ts";
import { uploadToS3, type S3Target } from "./s3-upload.ts";
import { checkRead, checkWrite } from "./storage.ts";
import type { ArtifactSource, ReadOptions, Storage, StoredContent, WriteOptions } from "./storage.ts";
import { checkArtifactName } from "./uri.ts";

const defaultPartBytes = 16 * 1024 * 1024;

/** Artifacts as objects of an S3-compatible store, beneath a prefix. Needs the package `@aws-sdk/client-s3`. */
export class S3Storage implements Storage {
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #options: S3StorageOptions;
  #access: Promise<S3Access> | undefined;

  /** @param uri - `s3://bucket` or `s3://bucket/prefix` */
  constructor(uri: string, options: S3StorageOptions = {}) {
    const [, bucket, prefix = ""] = /^s3:\/\/([a-z0-9][a-z0-9._-]{1,254})(?:\/(.*))?$/is.exec(uri) ?? [];
    if (bucket === undefined) throw new ServableError("invalid_argument", `${uri} must be like s3://bucket/key.`);
    this.#bucket = bucket;
    this.#prefix = prefix.replace(/\/+$/, "");
    this.#options = options;
  }

  uriOf(name?: string): string {
    return `s3://${this.#bucket}/${this.#key(name)}`;
  }

  async read(name?: string, options: ReadOptions = {}): Promise<StoredContent> {
    checkRead(options);
    const { offset = 0, version, signal } = options;
    const { client, sdk } = await this.#connect();
    const uri = this.uriOf(name);
    const range = offset > 0 ? { Range: `bytes=${offset}-`, ...(version !== undefined && { IfMatch: version }) } : {};
    try {
      const command = new sdk.GetObjectCommand({ ...this.#target(name), ...range });
      const answer = await client.send(command, signal === undefined ? {} : { abortSignal: signal });
      const total = /^bytes (\d+)-\d+\/(\d+)$/.exec(answer.ContentRange ?? "");
      const begin = total === null ? 0 : Number(total[1]);
      if (begin !== 0 && begin !== offset) throw new ServableError("load_failed", `${uri} answered with another part than was asked for.`);
      // In Node it is a stream of Node.
      const body = answer.Body as Readable | undefined;
      // One that is given up before anybody reads it fails, too.
      body?.on("error", () => undefined);
      return {
        offset: begin,
        bytes: total === null ? answer.ContentLength : Number(total[2]),
        version: answer.ETag,
        content: bodyOf(body, uri, signal),
      };
    } catch (thrown) {
      const status = statusOf(thrown);
      // It is another one by now, or shorter: from the beginning.
      if (offset > 0 && (status === 412 || status === 416)) return this.read(name, { signal });
      throw s3Failure(thrown, uri, "read", signal);
    }
  }

  async write(name: string, source: ArtifactSource, options: WriteOptions = {}): Promise<void> {
    checkWrite(options);
    const access = await this.#connect();
    try {
      await uploadToS3(access, this.#target(checkArtifactName(name)), source, this.#options.partBytes ?? defaultPartBytes, options);
    } catch (thrown) {
      throw s3Failure(thrown, this.uriOf(name), "written", options.signal);
    }
  }

  #connect(): Promise<S3Access> {
    this.#access ??= connectS3(this.#options);
    return this.#access;
  }

  #key(name: string | undefined): string {
    if (name === undefined) return this.#prefix;
    return this.#prefix === "" ? checkArtifactName(name) : `${this.#prefix}/${checkArtifactName(name)}`;
  }

  #target(name: string | undefined): S3Target {
    const Key = this.#key(name);
    if (Key === "") throw new ServableError("invalid_argument", `s3://${this.#bucket} names a bucket: an artifact has a key, too.`);
    return { Bucket: this.#bucket, Key };
  }
}

async function* bodyOf(body: Readable | undefined, uri: string, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  if (body === undefined) return;
  try {
    for await (const part of body as AsyncIterable<Uint8Array>) {
      signal?.throwIfAborted();
      yield part;
    }
  } catch (thrown) {
    throw s3Failure(thrown, uri, "read", signal);
  } finally {
    body.destroy();
  }
}

import type { KeysOf } from "../known-keys.ts";

/** How an S3-compatible store is reached. What is left out comes from where AWS's own tools look: environment, profile, machine. */
export interface S3StorageOptions {
  /** Of another store than AWS's. @default `$AWS_ENDPOINT_URL_S3`, `$AWS_ENDPOINT_URL`, else AWS */
  readonly endpoint?: string | undefined;
  /** @default `$AWS_REGION`, `$AWS_DEFAULT_REGION`, else us-east-1 */
  readonly region?: string | undefined;
  /** Whether the bucket is part of the path instead of the host's name. @default `$SERVABLE_S3_PATH_STYLE` (true or false), else true with an endpoint */
  readonly forcePathStyle?: boolean | undefined;
  /** @default found by the SDK */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string } | undefined;
  /** Bytes of one part of an upload; the least that S3 takes is 5 MiB. Raised where more than 10,000 would be needed. @default 16 MiB */
  readonly partBytes?: number | undefined;
  /** How often the SDK tries again. @default 4 */
  readonly retries?: number | undefined;
  /** How long nothing may happen on a connection. @default 60000 */
  readonly idleMs?: number | undefined;
}

/** The keys of {@link S3StorageOptions}. */
export const s3Keys: KeysOf<S3StorageOptions> = {
  endpoint: true,
  region: true,
  forcePathStyle: true,
  // The SDK's own credentials have more than is needed.
  credentials: true,
  partBytes: true,
  retries: true,
  idleMs: true,
};

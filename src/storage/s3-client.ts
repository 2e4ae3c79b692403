import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3";
import { ServableError, messageOf } from "../errors.ts";
import type { S3StorageOptions } from "./s3-options.ts";

/** The SDK, which is loaded when the first store is used. */
export type S3Module = typeof import("@aws-sdk/client-s3");

/** A client, and the SDK's commands for it. */
export interface S3Access {
  readonly client: S3Client;
  readonly sdk: S3Module;
}

/** Loads the SDK and makes a client. @throws ServableError `missing_dependency` */
export async function connectS3(options: S3StorageOptions): Promise<S3Access> {
  const sdk = await import("@aws-sdk/client-s3").catch((thrown: unknown) => {
    const text = "Artifacts at s3:// need the package @aws-sdk/client-s3. Install it: npm install @aws-sdk/client-s3";
    throw new ServableError("missing_dependency", text, { cause: thrown });
  });
  return { sdk, client: new sdk.S3Client(clientConfig(options)) };
}

function clientConfig(options: S3StorageOptions): S3ClientConfig {
  const { AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_REGION, AWS_DEFAULT_REGION, SERVABLE_S3_PATH_STYLE } = process.env;
  const endpoint = options.endpoint ?? nonEmpty(AWS_ENDPOINT_URL_S3) ?? nonEmpty(AWS_ENDPOINT_URL);
  const asked = nonEmpty(SERVABLE_S3_PATH_STYLE);
  const idleMs = options.idleMs ?? 60_000;
  return {
    region: options.region ?? nonEmpty(AWS_REGION) ?? nonEmpty(AWS_DEFAULT_REGION) ?? "us-east-1",
    forcePathStyle: options.forcePathStyle ?? (asked === undefined ? endpoint !== undefined : asked === "true" || asked === "1"),
    maxAttempts: (options.retries ?? 4) + 1,
    // Checksums in trailers are newer than many a compatible store; artifacts are checked by their SHA-256.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: { connectionTimeout: 10_000, socketTimeout: idleMs },
    ...(endpoint !== undefined && { endpoint }),
    ...(options.credentials !== undefined && { credentials: options.credentials }),
  };
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === "" ? undefined : text;
}

/** What a failure of the SDK says. */
export function s3Failure(thrown: unknown, uri: string, use: "read" | "written", signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true) return signal.reason;
  if (ServableError.isInstance(thrown)) return thrown;
  const name = thrown instanceof Error ? thrown.name : "";
  const status = statusOf(thrown);
  const failure = (code: "not_found" | "unauthenticated" | "unavailable" | "load_failed", text: string): ServableError =>
    new ServableError(code, text, { cause: thrown });
  if (name === "CredentialsProviderError") {
    return failure(
      "unauthenticated",
      `${uri} can't be ${use}: there are no credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile.`,
    );
  }
  if (name === "NoSuchBucket") return failure("not_found", `${uri} could not be ${use}: there is no such bucket.`);
  if (status === 404) return failure("not_found", `${uri} does not exist.`);
  if (status === 401 || status === 403) return failure("unauthenticated", `${uri} may not be ${use} with these credentials (${name}).`);
  if (status !== undefined && status < 500 && status !== 408 && status !== 429) {
    return failure("load_failed", `${uri} could not be ${use}: HTTP ${status}, ${name}: ${messageOf(thrown)}`);
  }
  return failure("unavailable", `${uri} could not be ${use}: ${messageOf(thrown) || name}`);
}

/** The HTTP status that the SDK puts beside its errors. */
export function statusOf(thrown: unknown): number | undefined {
  if (typeof thrown !== "object" || thrown === null || !("$metadata" in thrown)) return undefined;
  const metadata: unknown = thrown.$metadata;
  if (typeof metadata !== "object" || metadata === null || !("httpStatusCode" in metadata)) return undefined;
  return typeof metadata.httpStatusCode === "number" ? metadata.httpStatusCode : undefined;
}

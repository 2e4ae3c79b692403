import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

/**
 * A self-signed certificate for 127.0.0.1, made anew: one that is committed would expire some day. Undefined where there is no openssl. To be
 * called while tests are collected: it is there until the last of them is done.
 */
export function makeCertificate(): { readonly certFile: string; readonly keyFile: string } | undefined {
  const folder = mkdtempSync(join(tmpdir(), "servable-tls-"));
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const [certFile, keyFile] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  try {
    execFileSync("openssl", [...kind, ...names, "-keyout", keyFile, "-out", certFile], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  return { certFile, keyFile };
}

/** What is said where the optional packages are not installed: the built modules, put where none can be found. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { expect, onTestFinished, test } from "vitest";

test("names the packages that gRPC needs", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "servable-no-peers-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const dist = path.resolve(import.meta.dirname, "../../dist");
  writeFileSync(path.join(folder, "package.json"), '{"type":"module"}');
  for (const part of ["errors.js", "protocol/grpc"]) cpSync(path.join(dist, part), path.join(folder, "dist", part), { recursive: true });
  const packages = (await import(
    pathToFileURL(path.join(folder, "dist/protocol/grpc/packages.js")).href
  )) as typeof import("../../src/protocol/grpc/packages.ts");
  await expect(packages.loadGrpcPackages()).rejects.toMatchObject({
    code: "missing_dependency",
    message: expect.stringContaining("npm install @grpc/grpc-js protobufjs") as string,
  });
  await expect(packages.loadProtobuf()).rejects.toMatchObject({ code: "missing_dependency" });
  expect(packages.hasReflection()).toBe(false);
});

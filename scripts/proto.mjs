/**
 * Makes src/protocol/grpc/generated/ from the .proto files beside it: a static protobufjs module with its types, and the descriptors that
 * reflection tells. Skipped where it has been done already. setup.mjs runs it before each build; it takes some three seconds.
 *
 * usage: node scripts/proto.mjs [--force]
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const folder = path.join(root, "src", "protocol", "grpc");
const target = path.join(folder, "generated");
const stamp = path.join(target, ".stamp");
const require = createRequire(import.meta.url);

const digest = digestOfSources();
const made = ["messages.js", "messages.d.ts", "descriptors.ts"].every((name) => existsSync(path.join(target, name)));
if (process.argv.includes("--force") || !made || !existsSync(stamp) || readFileSync(stamp, "utf8") !== digest) {
  mkdirSync(target, { recursive: true });
  await makeMessages();
  makeDescriptors();
  writeFileSync(stamp, digest);
}

function protoFiles() {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".proto"))
    .sort()
    .map((name) => path.join(folder, name));
}

/** A hash of all that the result depends on. */
function digestOfSources() {
  const hash = createHash("sha256");
  for (const name of ["protobufjs", "protobufjs-cli"]) {
    hash.update(`${name} ${JSON.parse(readFileSync(path.join(root, "node_modules", name, "package.json"), "utf8")).version}\n`);
  }
  for (const file of [fileURLToPath(import.meta.url), ...protoFiles()]) hash.update(readFileSync(file));
  return hash.digest("hex");
}

async function makeMessages() {
  const { pbjs } = require("protobufjs-cli");
  const out = path.join(target, "messages.js");
  const parameters = ["--target", "static-module", "--wrap", "esm", "--root", "servable", "--dts", "--out", out, "--path", folder];
  const leaveOut = ["--no-verify", "--no-delimited", "--no-typeurl", "--no-service", "--no-beautify"];
  await new Promise((resolve, reject) => {
    pbjs.main([...parameters, ...leaveOut, ...protoFiles()], (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
  // The types were made of the comments, which nobody needs at run time, no more than the indentation.
  writeFileSync(out, bare(readFileSync(out, "utf8")));
  // Of a Long only its two halves are needed; so the types need no package but protobufjs.
  const types = path.join(target, "messages.d.ts");
  const long = "interface Long {\n  readonly low: number;\n  readonly high: number;\n  readonly unsigned: boolean;\n}\n";
  writeFileSync(types, bare(readFileSync(types, "utf8")).replace('import Long = require("long");\n', long));
}

function bare(code) {
  return code.replaceAll(/\s*\/\*\*[\s\S]*?\*\//g, "").replaceAll(/^ +/gm, "");
}

function makeDescriptors() {
  const protobuf = require("protobufjs");
  require("protobufjs/ext/descriptor");
  const loaded = new protobuf.Root();
  loaded.resolvePath = (_origin, name) => path.resolve(folder, name);
  loaded.loadSync(protoFiles(), {}).resolveAll();
  const { FileDescriptorProto } = require("protobufjs/ext/descriptor");
  const files = loaded.toDescriptor("proto3").file.map((file) => Buffer.from(FileDescriptorProto.encode(file).finish()).toString("base64"));
  const lines = files.map((text) => `  "${text}",`);
  writeFileSync(
    path.join(target, "descriptors.ts"),
    `/** Each file of ours as a FileDescriptorProto, base64: what reflection tells. */\nexport const descriptors: readonly string[] = [\n${lines.join("\n")}\n];\n`,
  );
}

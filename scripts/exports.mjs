/**
 * Holds docs/exports.md, the list of what each subpath of the package exports, together with the code: a name that comes or
 * goes is a change that users see, so it is a change of that page.
 *
 * usage: node scripts/exports.mjs [--update]
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const page = path.join(root, "docs", "exports.md");
const own = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));

/** Each subpath's source: `./dist/http.js` is made from `src/http.ts`. */
const entries = Object.entries(own.exports)
  .filter(([, target]) => typeof target === "object")
  .map(([subpath, target]) => ({
    name: path.posix.join(own.name, subpath),
    file: path.join(root, target.default.replace("./dist/", "src/").replace(/\.js$/, ".ts")),
  }));
const missing = entries.filter(({ file }) => !existsSync(file)).map(({ file }) => path.relative(root, file));
if (missing.length > 0) {
  console.error(`package.json exports what is not there: ${missing.join(", ")}`);
  process.exit(1);
}

const { config } = ts.readConfigFile(path.join(root, "tsconfig.build.json"), (file) => ts.sys.readFile(file));
const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
const program = ts.createProgram(
  entries.map(({ file }) => file),
  { ...options, noEmit: true },
);
const checker = program.getTypeChecker();

const text = [
  "# What each subpath exports",
  "",
  "Written by `node scripts/exports.mjs --update`; `npm run check` compares it with the code.",
  ...entries.flatMap(({ name, file }) => ["", `## ${name}`, "", ...rows(file)]),
  "",
].join("\n");

if (process.argv.includes("--update")) {
  writeFileSync(page, text);
} else {
  const before = existsSync(page) ? readFileSync(page, "utf8") : "";
  if (before !== text) {
    console.error("docs/exports.md is not what the code exports. If the change is meant: node scripts/exports.mjs --update");
    for (const line of difference(before, text)) console.error(line);
    process.exitCode = 1;
  }
}

function rows(file) {
  const symbol = checker.getSymbolAtLocation(program.getSourceFile(file));
  if (symbol === undefined) throw new Error(`${path.relative(root, file)} exports nothing`);
  const names = checker.getExportsOfModule(symbol).map((exported) => `- \`${exported.name}\` ${kindOf(exported)}`);
  return names.sort((a, b) => (a < b ? -1 : 1));
}

function kindOf(exported) {
  const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
  const { Class, Function, Interface, TypeAlias, Variable } = ts.SymbolFlags;
  const kinds = [
    [Class, "class"],
    [Function, "function"],
    [Variable, "value"],
    [Interface, "interface"],
    [TypeAlias, "type"],
  ];
  // `export type { SomeClass }` gives the type alone.
  const typeOnly = exported.declarations?.some((node) => ts.isExportSpecifier(node) && (node.isTypeOnly || node.parent.parent.isTypeOnly));
  const found = kinds.filter(([flag]) => symbol.flags & flag).map(([, kind]) => kind);
  return typeOnly && !found.includes("interface") ? "type" : found.join(" and ");
}

function difference(before, after) {
  const was = new Set(before.split("\n"));
  const is = new Set(after.split("\n"));
  return [
    ...[...was].filter((line) => !is.has(line)).map((line) => `< ${line}`),
    ...[...is].filter((line) => !was.has(line)).map((line) => `> ${line}`),
  ];
}

import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ServiceLoader, discoverServices, type LoaderSpec } from "servable";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve } from "../support/serving.ts";

/** Modules as users write them, in folders of their own: what is tried is how they are found and read, types aside. */
const modules = {
  "several.ts": `
    import { Service, defineService } from "servable";
    export const one = defineService({ name: "one", call: () => 1 });
    export const two = defineService({ name: "two", call: () => 2 });
    export class Three extends Service<unknown, number> { override call(): number { return 3; } }
    export const uno = one;
    export const notAService = 42;
    export const instance = new Three();`,
  "only.ts": `
    import { defineService } from "servable";
    export const only = defineService({ name: "only", call: (value) => "only " + String(value) });
    export const helper = (): number => 1;`,
  "none.ts": `
    import { Service } from "servable";
    class Hidden extends Service { override call(): number { return 1; } }
    export const hidden = new Hidden();
    export const answer = 42;`,
  "empty.ts": "export {};",
  "data.json": "{}",
  "made.ts": `
    import { Service, defineService } from "servable";
    export function times(factor: number) {
      if (typeof factor !== "number") throw new TypeError("the factor must be a number");
      return defineService({ name: "times", call: (x) => Number(x) * factor });
    }
    export class Repeat extends Service<string, string> {
      readonly #count: number;
      readonly #between: string;
      constructor(count = 2, between = "") {
        super();
        this.#count = count;
        this.#between = between;
      }
      override call(text: string): string { return Array.from({ length: this.#count }, () => text).join(this.#between); }
    }
    export const finished = defineService({ name: "finished", call: () => 1 });
    export const makesNoService = (): number => 42;
    export const badName = () => defineService({ name: "no name", call: () => 1 });`,
  "syntax-error.ts": 'export const broken = {\n  name: "x",,\n};\n',
  "syntax-error.mjs": 'export const broken = {\n  name: "x",,\n};\n',
  "throws.ts": 'throw new Error("no licence was found\\nand more");',
  "throws-nothing.mjs": "throw undefined;",
  "missing-import.ts": 'export { something } from "./not-there.ts";',
  "typed.mts": `
    import { defineService } from "servable";
    enum Kind { Small = "small" }
    export const typed = defineService({ name: "typed", call: (): string => Kind.Small satisfies string });`,
  "default.mjs": `
    import { defineService } from "servable";
    export const named = defineService({ name: "named", call: () => "named" });
    export default named;`,
  "default-class.mjs": `
    import { Service } from "servable";
    export default class extends Service { call() { return "anonymous"; } }`,
  "commonjs/package.json": "{}",
  "commonjs/service.ts": `
    import { defineService } from "servable";
    import { suffix } from "./helper.ts";
    export const fromCommonJs = defineService({ name: "from-common-js", call: (value) => String(value) + suffix });`,
  "commonjs/helper.ts": 'export const suffix: string = "!";',
  "commonjs/typed.cts": `
    import { defineService } from "servable";
    export const typed = defineService({ name: "typed-cts", call: (): string => "cts" });`,
  "commonjs/plain.cjs": `
    const { defineService } = require("servable");
    exports.plain = defineService({ name: "plain", call: () => "plain" });
    exports.other = 1;`,
  "commonjs/whole.js": `
    const { defineService } = require("servable");
    module.exports = defineService({ name: "whole", call: () => "whole" });`,
  "package.json": '{ "type": "module" }',
};

let folder: string;
const path = (name: keyof typeof modules): string => join(folder, name);
beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "servable-loading-")));
  for (const [name, text] of Object.entries(modules)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(fileURLToPath(new URL("../../", import.meta.url)), join(folder, "node_modules", "servable"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function call(spec: LoaderSpec, input: unknown = "x"): Promise<unknown> {
  const definition = await new ServiceLoader(spec).definition();
  return definition.call(input);
}
const failure = (message: RegExp) => ({ code: "load_failed", message: expect.stringMatching(message) as string });

describe("a module is named", () => {
  test("by its path, relative to a folder, or by its URL", async () => {
    for (const [module, base] of [
      [path("only.ts"), undefined],
      ["./only.ts", folder],
      ["only.ts", folder],
      [pathToFileURL(path("only.ts")).href, undefined],
    ] as const) {
      const loader = new ServiceLoader({ module }, base);
      expect(loader.spec.module).toBe(pathToFileURL(path("only.ts")).href);
      expect((await loader.definition()).name).toBe("only");
    }
  });

  test("and imported once for one loader", async () => {
    const loader = new ServiceLoader({ module: path("only.ts") });
    expect(await loader.definition()).toBe(await loader.definition());
    expect(await loader.load()).not.toBe(await loader.load());
  });
});

describe("an export is", () => {
  test("the only service there is", async () => {
    expect(await call({ module: path("only.ts") })).toBe("only x");
    expect(await call({ module: path("default.mjs") })).toBe("named");
  });

  test("named", async () => {
    expect(await call({ module: path("several.ts"), export: "two" })).toBe(2);
    expect(await call({ module: path("several.ts"), export: "Three" })).toBe(3);
    expect(await call({ module: path("default.mjs"), export: "default" })).toBe("named");
  });

  test("a class with arguments", async () => {
    expect(await call({ module: path("made.ts"), export: "Repeat", arguments: [3, "-"] })).toBe("x-x-x");
    expect(await call({ module: path("made.ts"), export: "Repeat" })).toBe("xx");
    expect((await new ServiceLoader({ module: path("made.ts"), export: "Repeat" }).definition()).name).toBe("repeat");
  });

  test("a class without a name, which takes that of its export", async () => {
    expect((await new ServiceLoader({ module: path("default-class.mjs") }).definition()).name).toBe("default");
  });

  test("a function of its arguments", async () => {
    expect(await call({ module: path("made.ts"), export: "times", arguments: [4] }, 5)).toBe(20);
  });
});

describe("languages", () => {
  const all: [keyof typeof modules, string, unknown][] = [
    ["only.ts", "only", "only x"],
    ["typed.mts", "typed", "small"],
    ["default.mjs", "named", "named"],
    ["commonjs/service.ts", "from-common-js", "x!"],
    ["commonjs/typed.cts", "typed-cts", "cts"],
    ["commonjs/plain.cjs", "plain", "plain"],
    ["commonjs/whole.js", "whole", "whole"],
  ];

  test.each(all)("%s, on this thread", async (name, service, answer) => {
    const definition = await new ServiceLoader({ module: path(name) }).definition();
    expect(definition.name).toBe(service);
    expect(await definition.call("x")).toBe(answer);
  });

  test("all of them, on worker threads", { timeout: 60_000 }, async () => {
    const policy = { placement: "thread" } as const;
    const server = await serve(all.map(([name]) => ({ service: { module: path(name) }, policy })));
    for (const [, service, answer] of all) expect(await (await server.post(`/${service}`, '"x"')).json()).toBe(answer);
    await server.runtime.stop();
  });
});

describe("what can't be loaded is told in one line", () => {
  test.each([
    ["a missing file", "missing.ts", undefined, undefined, /^There is no file .*missing\.ts\.$/],
    ["a folder", "commonjs", undefined, undefined, /commonjs/],
    [
      "a syntax error, with its place",
      "syntax-error.ts",
      undefined,
      undefined,
      /^.*syntax-error\.ts could not be loaded: line 2, column 12: Expected identifier/,
    ],
    [
      "a syntax error in JavaScript",
      "syntax-error.mjs",
      undefined,
      undefined,
      /^.*syntax-error\.mjs could not be loaded: .*Unexpected token/,
    ],
    ["a module that throws", "throws.ts", undefined, undefined, /^.*throws\.ts could not be loaded: no licence was found$/],
    ["a module that throws nothing", "throws-nothing.mjs", undefined, undefined, /could not be loaded: /],
    ["an import that is missing", "missing-import.ts", undefined, undefined, /missing-import\.ts could not be loaded: .*not-there/],
    [
      "no service, but an instance",
      "none.ts",
      undefined,
      undefined,
      /exports no service \(it exports: answer, hidden\)\. 'hidden' is an instance: export its class instead\. Export what/,
    ],
    ["nothing", "empty.ts", undefined, undefined, /exports no service \(it exports: nothing\)/],
    ["a folder", ".", undefined, undefined, /is a folder; name a \.ts or \.js file in it\./],
    ["no module", "data.json", undefined, undefined, /data\.json is not a module; name a \.ts or \.js file\./],
    [
      "several, and none is named",
      "several.ts",
      undefined,
      undefined,
      /exports 3 services \(Three, one, two\); say which one with `export`/,
    ],
    [
      "an export that is not there",
      "several.ts",
      "four",
      undefined,
      /has no export 'four'\. It exports: Three, instance, notAService, one, two, uno\./,
    ],
    ["an export that every object has", "commonjs/plain.cjs", "toString", undefined, /has no export 'toString'/],
    ["an export that is no service", "several.ts", "notAService", undefined, /Export 'notAService' of .* is not a service/],
    ["an instance", "several.ts", "instance", undefined, /Export 'instance' of .* is not a service/],
    ["a function that makes none", "made.ts", "makesNoService", undefined, /Export 'makesNoService' of .* is not a service/],
    ["a function that throws", "made.ts", "times", ["4"], /^Function 'times' of .*made\.ts failed: the factor must be a number$/],
    ["arguments for what is finished", "made.ts", "finished", [1], /Export 'finished' is a finished definition and takes no arguments/],
  ])("%s", async (_name, name, exported, args, message) => {
    const spec = { module: join(folder, name), ...(exported && { export: exported }), ...(args && { arguments: args }) };
    const error: unknown = await new ServiceLoader(spec).definition().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject(failure(message));
    expect((error as Error).message).not.toContain("\n");
  });

  test("a service's own mistake keeps its code", async () => {
    await expect(call({ module: path("made.ts"), export: "badName" })).rejects.toMatchObject({ code: "invalid_config" });
  });
});

describe("discovery", () => {
  test("finds every service once, classes too", async () => {
    const loaders = await discoverServices("several.ts", folder);
    expect(loaders.map(({ spec }) => spec.export)).toEqual(["Three", "one", "two"]);
    expect(await Promise.all(loaders.map(async (loader) => (await loader.definition()).name))).toEqual(["three", "one", "two"]);
    expect((await discoverServices(path("default.mjs"))).map(({ spec }) => spec.export)).toEqual(["default"]);
    expect((await discoverServices(path("commonjs/whole.js"))).map(({ spec }) => spec.export)).toEqual(["default"]);
  });

  test("of nothing is an error", async () => {
    await expect(discoverServices(path("none.ts"))).rejects.toMatchObject(failure(/exports no service/));
    await expect(discoverServices("missing.ts", folder)).rejects.toMatchObject(failure(/There is no file/));
  });
});

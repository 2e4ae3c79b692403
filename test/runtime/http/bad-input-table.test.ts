/**
 * What bad input gets, one row each: a clear problem, and never a crash or a 500 that is not the service's own. Over each way to a service:
 * past Fastify, behind it (an app that was configured, one with CORS), as an item of a list, and through `fetchHandler`.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { ImageHandler, MultipartHandler, defineService } from "servable";
import { fetchHandler } from "servable/http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { makeFolder, removeFolder, root } from "../../cli/support.ts";
import { pngHeader } from "../../service/handlers/pictures.ts";
import { keepLog, problemOf, serve } from "../../support/serving.ts";

const hurl = (thrown: unknown) => (): never => {
  throw thrown;
};
const services = [
  defineService({
    name: "double",
    input: z.object({ x: z.number(), list: z.array(z.object({ y: z.string() })).optional() }),
    policy: { maxBodyBytes: 5_000 },
    call: ({ x }) => ({ y: 2 * x }),
  }),
  defineService({ name: "echo", policy: { maxBodyBytes: 5_000 }, call: (value) => value }),
  defineService({ name: "picture", request: new ImageHandler({ field: "image" }), call: ({ width }) => width }),
  defineService({ name: "form", request: new MultipartHandler(), call: ({ fields }) => fields.size }),
  defineService({ name: "throws-text", call: hurl("a text") }),
  defineService({ name: "throws-nothing", call: hurl(undefined) }),
  defineService({ name: "reads-badly", request: { mediaTypes: ["application/json"], deserialize: hurl("a text") }, call: () => 1 }),
  defineService({ name: "writes-badly", response: { mediaTypes: ["application/json"], serialize: hurl("a text") }, call: () => 1 }),
];
const names = services.map(({ name }) => name);

type Problem = Record<string, unknown>;
interface Row {
  readonly what: string;
  readonly path: string;
  readonly method?: string;
  readonly body?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  readonly code: string;
  readonly check?: (problem: Problem, response: Response) => void;
  /**
   * What becomes of it at `/batch`: `item` that stands in a list and fails alone, `whole` where the list itself is as bad, `none` where the
   * service has no such route.
   */
  readonly batch: "item" | "whole" | "none";
}

const json = { "content-type": "application/json" };
const png = { "content-type": "image/png" };
const form = { "content-type": "multipart/form-data; boundary=B" };
const failing =
  (path: string) =>
  ({ errors }: Problem): void => {
    expect(errors).toMatchObject([{ path }]);
  };

const rows: readonly Row[] = [
  { what: "not JSON", path: "/double", body: '{"x":', status: 400, code: "invalid_request", batch: "whole" },
  {
    what: "a wrong type at a path",
    path: "/double",
    body: '{"x":1,"list":[{"y":"a"},{"y":2}]}',
    status: 400,
    code: "invalid_request",
    check: failing("list[1].y"),
    batch: "item",
  },
  {
    what: "an unknown media type",
    path: "/double",
    body: "<x/>",
    headers: { "content-type": "text/xml" },
    status: 415,
    code: "unsupported_media_type",
    check: ({ accepted }) => {
      expect(accepted).toContain("application/json");
    },
    batch: "whole",
  },
  {
    what: "an Accept that nothing fits",
    path: "/double",
    body: '{"x":1}',
    headers: { ...json, accept: "text/html" },
    status: 406,
    code: "not_acceptable",
    check: ({ available }) => {
      expect(available).toContain("application/json");
    },
    batch: "whole",
  },
  { what: "an empty body", path: "/double", body: "", status: 400, code: "invalid_request", batch: "whole" },
  {
    what: "a body that is too large",
    path: "/echo",
    body: `"${"x".repeat(6_000)}"`,
    status: 413,
    code: "payload_too_large",
    check: ({ maxBodyBytes }) => {
      expect(maxBodyBytes).toBe(5_000);
    },
    batch: "whole",
  },
  {
    what: "a form that breaks off",
    path: "/form",
    body: '--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1',
    headers: form,
    status: 400,
    code: "invalid_request",
    batch: "none",
  },
  {
    what: "a picture that is none",
    path: "/picture",
    body: "no picture",
    headers: png,
    status: 400,
    code: "invalid_request",
    batch: "none",
  },
  {
    what: "a picture of 20,000 × 20,000 pixels, by its header",
    path: "/picture",
    body: pngHeader(20_000, 20_000),
    headers: png,
    status: 400,
    code: "invalid_request",
    check: ({ detail }) => {
      expect(detail).toContain("20000 × 20000");
    },
    batch: "none",
  },
  { what: "NaN", path: "/double", body: '{"x":NaN}', status: 400, code: "invalid_request", batch: "whole" },
  {
    what: "a number out of range",
    path: "/double",
    body: '{"x":1e999}',
    status: 400,
    code: "invalid_request",
    check: failing("x"),
    batch: "whole",
  },
  {
    what: "the wrong method",
    path: "/double",
    method: "PUT",
    body: '{"x":1}',
    status: 405,
    code: "method_not_allowed",
    check: (_problem, { headers }) => {
      expect(headers.get("allow")).toBe("POST");
    },
    batch: "whole",
  },
  {
    what: "an unknown service",
    path: "/nobody",
    body: "1",
    status: 404,
    code: "not_found",
    check: (problem) => {
      expect(problem.services).toEqual(names);
    },
    batch: "whole",
  },
  {
    what: "a key that would change prototypes",
    path: "/echo",
    body: '{"__proto__":{"isAdmin":true}}',
    status: 400,
    code: "invalid_request",
    check: () => {
      expect(({} as Record<string, unknown>).isAdmin).toBeUndefined();
    },
    batch: "whole",
  },
  { what: "a service that throws a text", path: "/throws-text", body: "1", status: 500, code: "service_failed", batch: "item" },
  { what: "a service that throws undefined", path: "/throws-nothing", body: "1", status: 500, code: "service_failed", batch: "item" },
  { what: "a handler that throws a text, reading", path: "/reads-badly", body: "1", status: 400, code: "invalid_request", batch: "item" },
  {
    what: "a handler that throws a text, writing",
    path: "/writes-badly",
    body: "1",
    status: 500,
    code: "serialization_failed",
    batch: "item",
  },
];

interface Way {
  send(path: string, init: RequestInit): Promise<Response>;
  stop(): Promise<void>;
}
const over = async (options: Parameters<typeof serve>[1]): Promise<Way> => {
  const server = await serve(services, options);
  return { send: (path, init) => server.get(path, init), stop: () => server.runtime.stop() };
};
const ways: Readonly<Record<string, () => Promise<Way>>> = {
  "past Fastify": () => over({}),
  "behind Fastify, configured": () => over({ configure: () => undefined }),
  "behind Fastify, with CORS": () => over({ corsOrigins: ["https://example.test"] }),
  async fetchHandler() {
    const handle = fetchHandler(services, { log: keepLog() });
    await handle.start();
    return { send: (path, init) => handle(new Request(`http://host.test${path}`, init)), stop: () => handle.close() };
  },
};

describe.each(Object.entries(ways))("%s", (_name, start) => {
  let way: Way;
  beforeAll(async () => {
    way = await start();
  });
  afterAll(() => way.stop());

  test.each(rows)("$what: $status $code", async ({ path, method = "POST", body, headers = json, status, code, check }) => {
    const response = await way.send(path, { method, headers, body: body ?? null });
    check?.(await problemOf(response, status, code), response);
    const sound = await way.send("/double", { method: "POST", headers: json, body: '{"x":1}' });
    expect(await sound.json()).toEqual({ y: 2 });
  });

  test.each(rows.filter(({ batch }) => batch === "item"))("$what, in a list, fails alone", async (row) => {
    const response = await way.send(`${row.path}/batch`, {
      method: "POST",
      headers: json,
      body: `[${String(row.body)},${String(row.body)}]`,
    });
    expect(response.status).toBe(200);
    const items = (await response.json()) as { error?: Problem }[];
    expect(items).toHaveLength(2);
    for (const { error } of items) {
      expect(error).toMatchObject({ status: row.status, code: row.code });
      row.check?.(error ?? {}, response);
    }
  });

  test("a wrong item among right ones leaves them alone", async () => {
    const response = await way.send("/double/batch", { method: "POST", headers: json, body: '[{"x":1},{"x":"1"},{"x":2}]' });
    expect(await response.json()).toMatchObject([
      { output: { y: 2 } },
      { error: { status: 400, code: "invalid_request" } },
      { output: { y: 4 } },
    ]);
  });

  test.each(rows.filter(({ batch }) => batch === "whole"))("$what, as a list: $status $code", async ({ what, body, ...row }) => {
    const list = what === "an empty body" ? "" : `[${String(body)}]`;
    const response = await way.send(`${row.path}/batch`, { method: row.method ?? "POST", headers: row.headers ?? json, body: list });
    await problemOf(response, row.status, row.code);
  });

  test.each(rows.filter(({ batch }) => batch === "none"))("$what: the service has no list", async ({ path }) => {
    await problemOf(await way.send(`${path}/batch`, { method: "POST", headers: json, body: "[]" }), 404, "not_found");
  });
});

describe("servable serve", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await makeFolder();
    const service = (name: string): string =>
      `import { defineService } from "servable";\nexport const service = defineService({ name: "${name}", call: () => 1 });\n`;
    await writeFile(join(folder, "one.mjs"), service("one"));
    await writeFile(join(folder, "same.mjs"), service("one"));
    await writeFile(join(folder, "none.mjs"), "export const nothing = 1;\n");
    await writeFile(join(folder, "not-there.mjs"), `import "./nowhere.mjs";\n${service("x")}`);
    await writeFile(join(folder, "not-exported.mjs"), service("x").replace("{ defineService }", "{ defineServise as defineService }"));
    await writeFile(join(folder, "no-package.mjs"), `import "no-such-package-anywhere";\n${service("x")}`);
    // Without a package.json of its own that says module, TypeScript becomes CommonJS.
    const common = join(folder, "common");
    await mkdir(join(common, "node_modules"), { recursive: true });
    await symlink(root, join(common, "node_modules/servable"));
    await writeFile(join(common, "package.json"), '{"name":"common"}');
    await writeFile(join(common, "common.ts"), service("x").replace("{ defineService }", "{ defineServise as defineService }"));
    await writeFile(join(folder, "deep.mjs"), `import "./not-there.mjs";\n${service("x")}`);
    await writeFile(join(folder, "undeclared.ts"), `${service("x")}export const y = defineServise({ name: "y", call: () => 1 });\n`);
    await writeFile(join(folder, "misspelt.ts"), service("x").replace("{ defineService }", "{ defineServise as defineService }"));
  });
  afterAll(() => removeFolder(folder));

  async function run(
    parameters: readonly string[],
  ): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
    const child = spawn(process.execPath, [join(root, "dist/cli/main.js"), "serve", ...parameters], { cwd: folder });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (part: Buffer) => (stdout += part.toString()));
    child.stderr.on("data", (part: Buffer) => (stderr += part.toString()));
    const [code] = (await once(child, "close")) as [number | null];
    return { code, stdout, stderr };
  }

  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["a missing file", ["nowhere.ts"], /There is no file .*nowhere\.ts/],
    ["a module that exports no service", ["none.mjs"], /none\.mjs exports no service \(it exports: nothing\)/],
    ["two services of one name", ["one.mjs", "same.mjs"], /Two services are named 'one'/],
    [
      "a misspelt import of a file",
      ["not-there.mjs"],
      /not-there\.mjs could not be loaded: it imports \.\/nowhere\.mjs, which is not there/,
    ],
    [
      "a misspelt import of a package",
      ["no-package.mjs"],
      /no-package\.mjs could not be loaded: it imports 'no-such-package-anywhere', which is not installed: npm install no-such/,
    ],
    [
      "a misspelt import of a name",
      ["not-exported.mjs"],
      /not-exported\.mjs could not be loaded: it imports 'defineServise' from 'servable', which has no such export; did you mean 'defineService'\?/,
    ],
    [
      "a misspelt import in a file that it imports",
      ["deep.mjs"],
      /deep\.mjs could not be loaded: \.\/not-there\.mjs imports \.\/nowhere\.mjs/,
    ],
    ["a name that nobody has declared", ["undeclared.ts"], /undeclared\.ts could not be loaded: defineServise is not defined \(line 3\)/],
    [
      "a misspelt import of a name, in TypeScript that becomes CommonJS",
      ["common/common.ts"],
      /common\.ts could not be loaded: what it imports from 'servable' as 'defineServise' is not there.*; did you mean 'defineService'\?/,
    ],
    [
      "a misspelt import of a name, in TypeScript",
      ["misspelt.ts"],
      /misspelt\.ts could not be loaded: it imports 'defineServise' from 'servable', which has no such export; did you mean 'defineService'\?/,
    ],
  ];
  test.each(cases)("of %s says so in one line", async (_what, parameters, message) => {
    const { code, stdout, stderr } = await run([...parameters, "--port", "0"]);
    expect(stderr).toMatch(message);
    expect(stderr.split("\n")).toEqual([expect.stringMatching(/^servable: /), ""]);
    expect(stderr + stdout).not.toMatch(/\n\s+at /);
    expect(code).toBe(1);
  });

  test("of a taken port says so in one line", async () => {
    const other = createServer();
    other.listen(0, "127.0.0.1");
    await once(other, "listening");
    const { code, stderr } = await run(["one.mjs", "--port", String((other.address() as AddressInfo).port)]);
    other.close();
    expect(stderr).toMatch(/^servable: Port \d+ .* is taken by another program.*\n$/);
    expect(code).toBe(1);
  });
});

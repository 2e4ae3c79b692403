import { Validator } from "@seriousme/openapi-schema-validator";
import { ServableError, defineService, streamOf } from "servable";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { serve, type Serving } from "../../support/serving.ts";

const services = [
  defineService({
    name: "double",
    description: "Doubles a number.",
    input: z.object({ x: z.number() }),
    output: z.object({ y: z.number() }),
    call: ({ x }, { stage }) => stage("think", () => ({ y: 2 * x })),
  }),
  defineService({
    name: "fail",
    call: (): never => {
      throw new ServableError("not_found", "No.");
    },
  }),
  defineService({
    name: "count",
    async *call(n) {
      for (let i = 0; i < Number(n); i += 1) yield i;
    },
  }),
  defineService({ name: "total", input: streamOf(z.number()), call: () => 1 }),
];

let server: Serving;
beforeAll(async () => {
  server = await serve(services);
});
afterAll(() => server.runtime.stop());

describe("/metrics", () => {
  /** Samples as Prometheus reads them: name, labels in order, value. */
  const samples = async (): Promise<Map<string, number>> => {
    const response = await server.get("/metrics");
    expect(response.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
    const map = new Map<string, number>();
    for (const line of (await response.text()).split("\n")) {
      if (line === "" || line.startsWith("#")) continue;
      const [, name = "", labels = "", value = ""] = /^([a-z_][a-z_0-9]*)(?:\{(.*)\})? (\S+)$/i.exec(line) ?? [];
      expect(name, line).not.toBe("");
      map.set(`${name}{${labels.split(",").sort().join(",")}}`, Number(value));
    }
    return map;
  };

  test("counts what was sent", async () => {
    for (let round = 0; round < 3; round += 1) await (await server.post("/double", '{"x":1}')).text();
    await (await server.post("/double", '{"x":"1"}')).text();
    await (await server.post("/double/batch", '[{"x":1},{"x":2},{}]')).text();
    await (await server.post("/fail")).text();
    await (await server.post("/count", "3")).text();
    await (await server.post("/nobody")).text();
    await (await server.get("/double")).text();
    await (await server.post("/double", "1", { "content-type": "text/csv" })).text();
    const map = await samples();
    const count = (labels: string): number | undefined => map.get(`servable_requests_total{${labels}}`);
    expect(count('outcome="ok",service="double"')).toBe(5);
    expect(count('outcome="invalid_request",service="double"')).toBe(2);
    expect(count('outcome="method_not_allowed",service="double"')).toBe(1);
    expect(count('outcome="unsupported_media_type",service="double"')).toBe(1);
    expect(count('outcome="not_found",service="fail"')).toBe(1);
    expect(count('outcome="ok",service="count"')).toBe(1);
    expect(count('outcome="not_found",service=""')).toBe(1);
    expect(map.get('servable_request_duration_seconds_count{service="double"}')).toBe(9);
    expect(map.get('servable_request_duration_seconds_bucket{le="+Inf",service="double"}')).toBe(9);
    expect(map.get('servable_request_duration_seconds_sum{service="double"}')).toBeGreaterThan(0);
    for (const stage of ["think", "call"]) {
      expect(map.get(`servable_stage_duration_seconds_count{service="double",stage="${stage}"}`)).toBe(5);
    }
    expect(map.get('servable_stage_duration_seconds_count{service="double",stage="deserialize"}')).toBe(7);
  });

  test("buckets grow, and gauges tell how it is now", async () => {
    const map = await samples();
    const buckets = [...map].filter(
      ([name]) => name.startsWith("servable_request_duration_seconds_bucket") && name.includes('service="double"'),
    );
    expect(buckets.length).toBeGreaterThan(5);
    const values = buckets.map(([, value]) => value);
    expect(values).toEqual([...values].sort((a, b) => a - b));
    for (const name of ["running", "queued", "in_flight"]) expect(map.get(`servable_requests_${name}{service="double"}`)).toBe(0);
    expect(map.get('servable_workers{service="double"}')).toBe(1);
    expect(map.get('servable_workers_ready{service="double"}')).toBe(1);
    expect(map.get("servable_ready{}")).toBe(1);
    expect(map.get("process_cpu_seconds_total{}")).toBeGreaterThan(0);
  });

  test("of one runtime are not those of another", async () => {
    await using other = await serve(services);
    expect(await (await other.get("/metrics")).text()).not.toContain('service="double",outcome');
  });
});

describe("/openapi.json", () => {
  test("is valid OpenAPI 3.1 that knows every service", async () => {
    const response = await server.get("/openapi.json");
    expect(response.headers.get("content-type")).toMatch(/^application\/json/);
    const document = (await response.json()) as { openapi: string; paths: Record<string, unknown> };
    expect(document.openapi).toMatch(/^3\.1\./);
    const result = await new Validator().validate(structuredClone(document));
    expect(result.errors).toBeUndefined();
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining(["/double", "/double/batch", "/fail", "/count", "/total", "/readyz", "/livez", "/startupz", "/metrics"]),
    );
    expect(document.paths).not.toHaveProperty("/total/batch");
    expect(JSON.stringify(document.paths["/double"])).toContain("Doubles a number.");
  });
});

describe("the page", () => {
  test("is served with a policy that lets only its own files run", async () => {
    const response = await server.get("/");
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    const policy = response.headers.get("content-security-policy");
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain("unsafe");
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    const html = await response.text();
    const files = [...html.matchAll(/(?:src|href)="(?!https?:)\.?\/?([^"]+\.(?:js|css))"/g)].map(([, file]) => file);
    expect(files.length).toBeGreaterThan(1);
    for (const file of files) {
      const asset = await server.get(`/${file}`);
      expect([file, asset.status]).toEqual([file, 200]);
      expect(asset.headers.get("x-content-type-options")).toBe("nosniff");
      for (const [, imported] of (await asset.text()).matchAll(/from "\.\/([^"]+)"/g)) {
        expect([imported, (await server.get(`/${imported}`)).status]).toEqual([imported, 200]);
      }
    }
    expect(html).not.toMatch(/<script(?![^>]*src=)|\son\w+=/);
  });

  test("can be left out", async () => {
    await using bare = await serve(services, { page: false });
    expect([(await bare.get("/")).status, (await bare.get("/page.js")).status, (await bare.get("/openapi.json")).status]).toEqual([
      404, 404, 200,
    ]);
  });
});

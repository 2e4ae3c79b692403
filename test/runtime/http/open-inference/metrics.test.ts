import { expect, test } from "vitest";
import { createModelMetrics, type ModelMetricsReport } from "../../../../src/runtime/http/open-inference/model-metrics.ts";
import { MetricsServer } from "../../../../src/runtime/http/open-inference/metrics-server.ts";
import { keepLog } from "../../../support/serving.ts";
import { addModel, identityModel, SmallPlane } from "./small-plane.ts";

/** A plane's statistics as reports; the model `add` has a cache, and labels of its own. */
function reportsOf(plane: SmallPlane): readonly ModelMetricsReport[] {
  return plane.statistics("", "").map((statistics) => {
    const { name, version } = statistics;
    const { inference_stats } = statistics;
    const cached = { ...statistics, inference_stats: { ...inference_stats, cache_miss: { count: 2, ns: 4_000 } } };
    return {
      name,
      version,
      statistics: name === "add" ? cached : statistics,
      failures: { REJECTED: 1, CANCELED: 2, BACKEND: 0, OTHER: 0 },
      pending: 3,
      loadSeconds: 0.25,
      tags: name === "add" ? { team: "speech" } : {},
    };
  });
}

test("metrics have Triton's names, labels and content type; any other path is empty", async () => {
  const plane = new SmallPlane([addModel(), identityModel("echo", "FP32")]);
  plane.models.get("echo")?.admit({}).cancel();
  const registry = createModelMetrics({ reports: () => reportsOf(plane) });
  const server = new MetricsServer({ registry, port: 0, log: keepLog() });
  await server.start();
  try {
    const answer = await fetch(`${server.url}/metrics`);
    expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "text/plain; charset=utf-8"]);
    const lines = (await answer.text()).split("\n");
    const ofEcho = '{model="echo",version="1"}';
    const ofAdd = '{model="add",version="1",_team="speech"}';
    for (const line of [
      `nv_inference_request_success${ofEcho} 1`,
      `nv_inference_request_success${ofAdd} 0`,
      `nv_inference_count${ofEcho} 1`,
      `nv_inference_exec_count${ofEcho} 1`,
      `nv_inference_request_duration_us${ofEcho} 1500`,
      `nv_inference_queue_duration_us${ofEcho} 0`,
      `nv_inference_compute_input_duration_us${ofEcho} 0`,
      `nv_inference_compute_infer_duration_us${ofEcho} 0`,
      `nv_inference_compute_output_duration_us${ofEcho} 0`,
      'nv_inference_request_failure{model="echo",version="1",reason="REJECTED"} 1',
      'nv_inference_request_failure{model="echo",version="1",reason="CANCELED"} 2',
      'nv_inference_request_failure{model="echo",version="1",reason="BACKEND"} 0',
      'nv_inference_request_failure{model="echo",version="1",reason="OTHER"} 0',
      `nv_cache_num_hits_per_model${ofAdd} 0`,
      `nv_cache_num_misses_per_model${ofAdd} 2`,
      `nv_cache_miss_duration_per_model${ofAdd} 4`,
      `nv_inference_pending_request_count${ofEcho} 3`,
      `nv_model_load_duration_secs${ofEcho} 0.25`,
      "nv_pinned_memory_pool_total_bytes 0",
      "nv_pinned_memory_pool_used_bytes 0",
      "# TYPE nv_inference_request_success counter",
      "# TYPE nv_inference_pending_request_count gauge",
    ]) {
      expect(lines).toContain(line);
    }
    expect(lines).not.toContain(`nv_cache_num_hits_per_model${ofEcho} 0`);
    for (const name of ["nv_cpu_utilization", "nv_cpu_memory_total_bytes", "nv_cpu_memory_used_bytes"]) {
      expect(lines.find((line) => line.startsWith(`${name} `))).toMatch(/ \d+(\.\d+)?$/);
    }
    for (const path of ["/", "/v2", "/metrics/", "/else"]) {
      const other = await fetch(server.url + path);
      expect([other.status, await other.text()]).toEqual([200, ""]);
    }
  } finally {
    await server.stop(100);
  }
});

test("what the machine does can be left out", async () => {
  const plane = new SmallPlane([addModel()]);
  const text = await createModelMetrics({ reports: () => reportsOf(plane) }, { cpu: false }).metrics();
  expect(text).toContain("nv_inference_count");
  expect(text).not.toContain("nv_cpu");
});

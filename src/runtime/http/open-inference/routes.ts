/** Where requests go: Triton's routes, matched on the path as it came, undecoded and with no trailing slash. */

/** The groups of routes that `--http-restricted-api` restricts, by its names. */
export type ApiName =
  "health" | "metadata" | "inference" | "shared-memory" | "model-config" | "model-repository" | "statistics" | "trace" | "logging";

/** Every {@link ApiName}. */
export const apiNames: readonly ApiName[] = [
  "health",
  "metadata",
  "inference",
  "shared-memory",
  "model-config",
  "model-repository",
  "statistics",
  "trace",
  "logging",
];

/** What a path asks for. */
export type RouteKind =
  | "live"
  | "ready"
  | "server-metadata"
  | "model-ready"
  | "model-metadata"
  | "config"
  | "stats"
  | "trace"
  | "logging"
  | "infer"
  | "generate"
  | "generate_stream"
  | "index"
  | "load"
  | "unload"
  | "shm-status"
  | "shm-register"
  | "shm-unregister";

/** A path, taken apart. */
export interface Route {
  readonly kind: RouteKind;
  /** The model's name; empty where the path has none. */
  readonly name: string;
  /** Digits; empty where the path has none. */
  readonly version: string;
  /** The repository's name; empty where the path has none. */
  readonly repository: string;
}

/** What holds of all routes of a kind. */
export interface RouteRule {
  readonly api: ApiName;
  readonly methods: readonly string[];
}

const get = ["GET"];
const post = ["POST"];

/** The rules of each kind. */
export const routeRules: Readonly<Record<RouteKind, RouteRule>> = {
  live: { api: "health", methods: get },
  ready: { api: "health", methods: get },
  "server-metadata": { api: "metadata", methods: get },
  "model-ready": { api: "health", methods: get },
  "model-metadata": { api: "metadata", methods: get },
  config: { api: "model-config", methods: get },
  stats: { api: "statistics", methods: get },
  trace: { api: "trace", methods: ["GET", "POST"] },
  logging: { api: "logging", methods: ["GET", "POST"] },
  infer: { api: "inference", methods: post },
  generate: { api: "inference", methods: post },
  generate_stream: { api: "inference", methods: post },
  index: { api: "model-repository", methods: post },
  load: { api: "model-repository", methods: post },
  unload: { api: "model-repository", methods: post },
  "shm-status": { api: "shared-memory", methods: get },
  "shm-register": { api: "shared-memory", methods: post },
  "shm-unregister": { api: "shared-memory", methods: post },
};

const ofModel = /^\/v2\/models\/([^/]+)(?:\/versions\/([0-9]+))?(?:\/(infer|generate|generate_stream|ready|config|stats|trace\/setting))?$/;
const ofRepository = /^\/v2\/repository(?:\/([^/]+))?\/(?:(index)|models\/([^/]+)\/(load|unload))$/;
const ofSharedMemory = /^\/v2\/(?:system|cuda)sharedmemory(?:\/region\/[^/]+)?\/(status|register|unregister)$/;

const plain = (kind: RouteKind): Route => ({ kind, name: "", version: "", repository: "" });
const fixed: ReadonlyMap<string, Route> = new Map([
  ["/v2", plain("server-metadata")],
  ["/v2/health/live", plain("live")],
  ["/v2/health/ready", plain("ready")],
  // So a model of the name `stats` has no metadata, as in Triton.
  ["/v2/models/stats", plain("stats")],
  ["/v2/trace/setting", plain("trace")],
  ["/v2/logging", plain("logging")],
]);
const modelKinds: Readonly<Record<string, RouteKind>> = { ready: "model-ready", "trace/setting": "trace" };

/** What comes before the path where a request's target is a whole URL, which every server has to take (RFC 9112, section 3.2.2). */
const authority = /^https?:\/\/[^/?]*(?=[/?])/i;

const maxKnown = 1_000;
const longestKnown = 200;
/** Those that were found before: most requests are for a few models. */
const known = new Map<string, Route>();

/** What a path asks for; undefined for one that there is not. */
export function findRoute(url: string): Route | undefined {
  const before = known.get(url);
  if (before !== undefined) return before;
  const path = pathOfTarget(url);
  const end = path.indexOf("?");
  const route = readPath(end < 0 ? path : path.slice(0, end));
  if (route !== undefined && end < 0 && url.length <= longestKnown) {
    if (known.size >= maxKnown) known.clear();
    known.set(url, route);
  }
  return route;
}

/** The path, and the query, of a request's target. */
function pathOfTarget(target: string): string {
  return target.startsWith("/") ? target : target.replace(authority, "");
}

function readPath(path: string): Route | undefined {
  const one = fixed.get(path);
  if (one !== undefined) return one;
  const model = ofModel.exec(path);
  if (model !== null) {
    const [, name = "", version = "", action] = model;
    // Settings of tracing are a model's, not a version's.
    if (action === "trace/setting" && version !== "") return undefined;
    const kind = action === undefined ? "model-metadata" : (modelKinds[action] ?? (action as RouteKind));
    return { kind, name, version, repository: "" };
  }
  const repository = ofRepository.exec(path);
  if (repository !== null) {
    const [, from = "", index, name = "", action] = repository;
    return { kind: index === undefined ? (action as RouteKind) : "index", name, version: "", repository: from };
  }
  const memory = ofSharedMemory.exec(path);
  return memory === null ? undefined : plain(`shm-${memory[1] ?? ""}` as RouteKind);
}

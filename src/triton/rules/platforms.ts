/** What is known of a backend: its platforms, of which the first is filled in, and the name of its model's file. */
interface BackendFacts {
  readonly platforms: readonly string[];
  readonly filename: string | undefined;
}

/** Backends whose gaps are filled. Others are taken as they are. */
const backends: ReadonlyMap<string, BackendFacts> = new Map([
  ["tensorrt", { platforms: ["tensorrt_plan"], filename: "model.plan" }],
  ["onnxruntime", { platforms: ["onnxruntime_onnx"], filename: "model.onnx" }],
  ["pytorch", { platforms: ["pytorch_libtorch"], filename: "model.pt" }],
  ["tensorflow", { platforms: ["tensorflow_savedmodel", "tensorflow_graphdef"], filename: "model.savedmodel" }],
  ["openvino", { platforms: [], filename: "model.xml" }],
  ["python", { platforms: [], filename: "model.py" }],
  ["typescript", { platforms: [], filename: "model.ts" }],
]);

/** Whether it is a backend of which anything is known here; any other is one that somebody has installed, or a mistake. */
export function isKnownBackend(backend: string): boolean {
  return backends.has(backend);
}

/** The platforms of a backend; undefined where any will do. */
export function platformsOf(backend: string): readonly string[] | undefined {
  const platforms = backends.get(backend)?.platforms ?? [];
  return platforms.length === 0 ? undefined : platforms;
}

/** The name of the file that a backend loads where nothing else is said. */
export function modelFilename(backend: string, platform: string): string | undefined {
  return platform === "tensorflow_graphdef" ? "model.graphdef" : backends.get(backend)?.filename;
}

/** The backend that a platform, the name of a model's file, or what lies in a version's folder tells. */
export function backendFor(platform: string, filename: string, files: readonly string[]): string | undefined {
  const known = [...backends];
  const byPlatform = known.find(([, { platforms }]) => platforms.includes(platform));
  if (byPlatform !== undefined) return byPlatform[0];
  const is = (name: string) => (filename === "" ? platform === "" && files.includes(name) : filename === name);
  const byFile = known.find(([, own]) => own.filename !== undefined && is(own.filename));
  if (byFile !== undefined) return byFile[0];
  return compiledFilenames.some(is) ? "typescript" : undefined;
}

/** The compiled forms of a model in TypeScript. */
export const compiledFilenames: readonly string[] = ["model.js", "model.mjs"];

/**
 * The layer rules of docs/architecture.md. Imports point down only, type imports too, and nothing runs in a circle.
 * Rooms that do not exist yet have their place in the order already.
 */

/** From the top down; a room may import those of the rows beneath its own. */
const order = [
  ["cli"],
  ["deployment"],
  ["server"],
  // The public test kit builds on the whole of what a user may build on.
  ["testing"],
  ["runtime"],
  ["queue", "telemetry"],
  ["engine"],
  ["service", "model", "client", "artifact"],
  ["storage", "triton", "protocol"],
  ["tensor", "known-keys", "errors"],
];

const entries = "^src/(index|http|offline|grpc|queue|onnx|triton|server|client|deployment|kubernetes|testing)\\.ts$";
const room = (name) => (["errors", "known-keys"].includes(name) ? `^src/${name}\\.ts$` : `^src/${name}/`);
const rooms = (names) => names.map(room).join("|");

/** Rooms of one row may not know each other, but for these. */
const neighbours = { tensor: ["errors"], "known-keys": ["errors"], service: ["model"], protocol: ["triton"] };

const layers = order.flatMap((names, row) =>
  names.map((name) => {
    const above = order.slice(0, row).flat();
    const beside = names.filter((other) => other !== name && !(neighbours[name] ?? []).includes(other));
    const refused = [...above, ...beside];
    return {
      name: `layer-${name}`,
      comment: `${name} imports only what is beneath it: ${
        order
          .slice(row + 1)
          .flat()
          .join(", ") || "nothing"
      }.`,
      severity: "error",
      from: { path: room(name) },
      to: { path: [rooms(refused), entries].filter((text) => text !== "").join("|") },
    };
  }),
);

const grpcRooms = "^src/(client|protocol)/grpc/";
/** Models that run in a Triton: the one part of client that knows models, configurations and both wires. */
const tritonModels = "^src/client/triton/";
/** Of model, what says what a model is, and checks what it is given. */
const modelContract = "^src/model/(model|check-inputs)\\.ts$";

module.exports = {
  forbidden: [
    // client may have the types of service, and its models what models are, which the rules below hold it to.
    ...layers.map((rule) =>
      rule.name === "layer-client" ? { ...rule, to: { ...rule.to, pathNot: [room("service"), modelContract] } } : rule,
    ),
    {
      name: "client-types-only",
      comment: "client runs in browsers: of service it takes types, nothing that runs.",
      severity: "error",
      from: { path: "^src/client(/|\\.ts$)" },
      to: { path: room("service"), dependencyTypesNot: ["type-only"] },
    },
    {
      name: "client-only-below",
      comment: "client imports protocol, tensor, errors, and types of service.",
      severity: "error",
      from: { path: "^src/client/", pathNot: tritonModels },
      to: {
        path: "^src/",
        pathNot: ["^src/client/(?!triton/)", room("service"), room("protocol"), room("tensor"), room("known-keys"), room("errors")],
      },
    },
    {
      name: "triton-models-only-below",
      comment:
        "Models that run in a Triton import clients, what a model is, configurations, tensor, known keys and errors; client.ts does not have them.",
      severity: "error",
      from: { path: tritonModels },
      to: {
        path: "^src/",
        pathNot: ["^src/client/", modelContract, room("protocol"), room("triton"), room("tensor"), room("known-keys"), room("errors")],
      },
    },
    {
      name: "no-triton-models-in-browsers",
      severity: "error",
      from: { path: "^src/client\\.ts$" },
      to: { path: tritonModels },
    },
    {
      name: "runs-in-browsers",
      comment: "What client is made of needs nothing of Node and no package, but for types. What speaks gRPC stands apart.",
      severity: "error",
      from: { path: "^src/(client|protocol|tensor)/|^src/errors\\.ts$|^src/client\\.ts$", pathNot: grpcRooms },
      to: { dependencyTypes: ["core", "npm", "npm-dev", "npm-peer", "npm-optional"], dependencyTypesNot: ["type-only"] },
    },
    {
      name: "no-grpc-in-browsers",
      comment: "What runs in browsers knows nothing of gRPC.",
      severity: "error",
      from: { path: "^src/(client|protocol|tensor)/|^src/errors\\.ts$|^src/client\\.ts$", pathNot: [grpcRooms, tritonModels] },
      to: { path: grpcRooms },
    },
    {
      name: "grpc-in-one-place",
      comment: "The packages that gRPC needs are imported, lazily, by src/protocol/grpc alone.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/protocol/grpc/" },
      to: { path: "node_modules/(@grpc|protobufjs)/", dependencyTypesNot: ["type-only"] },
    },
    {
      name: "onnxruntime-in-one-place",
      comment: "src/model/onnx is the only importer of onnxruntime-node.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/model/onnx/" },
      to: { path: "onnxruntime-(node|common)" },
    },
    {
      name: "fastify-in-one-place",
      comment: "Only the HTTP runtime knows the HTTP framework.",
      severity: "error",
      from: { path: "^src/", pathNot: ["^src/runtime/http/", entries, "^src/testing/"] },
      to: { path: "node_modules/(fastify|@fastify)/" },
    },
    {
      name: "no-test-code-in-src",
      severity: "error",
      from: { path: "^src/" },
      to: { path: "^(test|examples|bench|scripts)/" },
    },
    {
      name: "no-circle",
      comment: "No imports in a circle, type imports included.",
      severity: "error",
      from: { path: "^src/" },
      to: { circular: true },
    },
    {
      name: "room-without-a-rule",
      comment: "A folder of src/ has its place in `order` above.",
      severity: "error",
      from: { path: "^src/", pathNot: [entries, ...order.flat().map(room)] },
      to: {},
    },
    {
      name: "unresolvable",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: "not-a-dependency",
      comment: "What src/ imports stands in package.json as a dependency or an optional peer.",
      severity: "error",
      from: { path: "^src/" },
      to: {
        dependencyTypes: ["npm-no-pkg", "npm-unknown", "npm-dev"],
        dependencyTypesNot: ["npm", "npm-peer", "npm-optional", "type-only"],
      },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    combinedDependencies: false,
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "types", "node", "default"] },
  },
};

/** A model server of one model that gives back what it gets, which counts what its thread copies and allocates when its parent asks for it. */
import { readSide } from "./side.ts";
import { ModelGrpcServer } from "servable/grpc";
import { createLogger, ModelHttpServer } from "servable/http";
import { ModelRepositoryServer } from "servable/server";

const [repository = ""] = process.argv.slice(2);
const log = await createLogger({ level: "silent" });
const plane = new ModelRepositoryServer({ repositories: [repository], log });
await plane.start();
const http = new ModelHttpServer({ plane, port: 0, log });
const rpc = new ModelGrpcServer({ plane, port: 0, log });
await Promise.all([http.start(), rpc.start()]);

process.on("message", (message) => {
  process.send?.(readSide(message === "mark"));
});
// Nobody is left who would ask.
process.on("disconnect", () => process.exit());
process.send?.({ http: http.url, grpc: rpc.url });
